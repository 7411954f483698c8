"""The sections ``data`` and ``partition``: which tiles there are, and which client has which."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from fedray.config.section import Positive, Section

SITES = "sites"
"""``data.store`` where every client has a store of its own."""


def _split(value: Any) -> Any:
    """Split names with commas that came as one string: Flower's run config has no lists."""
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


LabelNames = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_split), Field(min_length=1)]


class DataConfig(Section):
    """Which tiles are used."""

    store: str = "colon"
    """Path of a tile store made by jobs/prepare_data.py, its s3:// or gs:// address on shared storage (fetched once a
    node), or 'colon' for the embedded section of human colon. For `flwr run` also 'sites': every SuperNode has a store
    of its own, which its node configuration names, and the server has none."""
    tile_size: int | None = Field(None, ge=1)
    """Tile edge in pixels. For 'colon': 16 to 256, a multiple of 8; unset: 32. Another store brings its own size: leave
    it unset."""
    num_domains: int | None = Field(None, ge=1)
    """Scanner domains. For 'colon': rendered into it by deterministic stain and blur shifts, 1 to 4; 1 leaves it as it
    is; unset: 1. Another store brings its own: leave it unset."""
    labels: LabelNames | None = None
    """Names of all labels, in the order of their codes, for 'sites': a site may lack some, and one with another label
    is refused. Unset: the labels are those that the sites have."""
    held_out_domain: str | None = None
    """Domain whose tiles no client has, and no extractor learns from: the store is used as if it lacked them. Those of
    the split that classifiers are scored on are an external test beside it. Unset: none is held out."""

    @model_validator(mode="after")
    def _labels_of_sites(self) -> Self:
        if self.labels is None:
            return self
        if self.store != SITES:
            raise ValueError(
                f"data.labels is for data.store {SITES!r}, where every site names its own labels, but got it with "
                f"{self.store!r}; leave it out: that store names them"
            )
        if twice := sorted({name for name in self.labels if self.labels.count(name) > 1}):
            raise ValueError(f"data.labels must name every label once, but has {twice[0]!r} twice")
        return self

    @model_validator(mode="after")
    def _sites_hold_out_nothing(self) -> Self:
        if self.store == SITES and self.held_out_domain is not None:
            raise ValueError(
                f"data.held_out_domain needs a data.store whose tiles are in one place, but got {SITES!r}; leave the "
                "sites of that domain out of the federation"
            )
        return self

    @model_validator(mode="after")
    def _colon_within_its_limits(self) -> Self:
        if self.store != "colon":
            return self
        if self.tile_size is not None and not (16 <= self.tile_size <= 256 and self.tile_size % 8 == 0):
            raise ValueError(
                f"data.tile_size must be 16 to 256 and a multiple of 8 for 'colon', but got {self.tile_size}"
            )
        if self.num_domains is not None and self.num_domains > 4:
            raise ValueError(f"data.num_domains must be 1 to 4 for 'colon', but got {self.num_domains}")
        return self


class PartitionConfig(Section):
    """How the training tiles are spread over the clients."""

    scheme: Literal["iid", "majority-label", "dirichlet", "domain", "client", "imbalance"] = "iid"
    """'iid'; 'majority-label': balanced overall, each client has one over-represented label (arXiv 2504.04130);
    'dirichlet': label shares drawn per client (Hsu et al. 2019); 'domain': one or more clients per scanner domain;
    'client': as the store names the client of each tile (the column client of a CSV file); 'imbalance': rare labels,
    few domains a client, and pairs of a label and a domain that some clients or all lack (arXiv 2604.26324)."""
    keep_groups: bool | None = None
    """Whether no group (patient or slide) is spread over several clients. Unset: true where the store has patients
    with several tiles, false where its groups are regions of one patient, as in 'colon'."""
    majority_share: float = Field(0.8, gt=0.0, le=1.0)
    """Share of a client's tiles that carry its majority label, in (0, 1]; arXiv 2504.04130 uses 0.6 to 0.9. For
    'majority-label'."""
    alpha: Positive = 0.5
    """Concentration of the Dirichlet distribution, > 0; small is more skewed. For 'dirichlet' and 'imbalance'."""
    tail_ratio: float = Field(1.0, ge=1.0, allow_inf_nan=False)
    """Tiles of the most frequent label for 1 of the rarest, at least, >= 1: the labels between fall geometrically, and
    the tiles beyond stay unused; 1 uses all. For 'imbalance'."""
    domains_per_client: int = Field(1, ge=1)
    """Domains that a client has tiles of, from 1 to their number. For 'imbalance'."""
    missing_share: float = Field(0.0, ge=0.0, lt=1.0)
    """Share of the pairs of a label and a domain that a client could have of which it has no tile, drawn for each
    client, in [0, 1). For 'imbalance'."""
    absent_cells: str = ""
    """Pairs of a label and a domain that no client has, though the test tiles do: LABEL@DOMAIN,LABEL@DOMAIN. For
    'imbalance'."""
