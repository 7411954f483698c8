"""The configuration of one experiment: what is trained, on whose data, how it is judged, on which resources.

Every field says what it means, its unit and its range; the job command lines, their ``--help`` and the search-space
keys are made of these models. Frozen, and an unknown key is an error.
"""

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from fedray.config.classification import ClassificationConfig
from fedray.config.gan import GanConfig
from fedray.config.section import NonNegative, Positive, Section
from fedray.config.strategies import StrategyName, described_strategies
from fedray.config.tasks import TaskName, described_tasks

SITES = "sites"
"""``data.store`` where every client has a store of its own."""


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

    scheme: Literal["iid", "majority-label", "dirichlet", "domain", "client"] = "iid"
    """'iid'; 'majority-label': balanced overall, each client has one over-represented label (arXiv 2504.04130);
    'dirichlet': label shares drawn per client (Hsu et al. 2019); 'domain': one or more clients per scanner domain;
    'client': as the store names the client of each tile (the column client of a CSV file)."""
    keep_groups: bool | None = None
    """Whether no group (patient or slide) is spread over several clients. Unset: true where the store has patients
    with several tiles, false where its groups are regions of one patient, as in 'colon'."""
    majority_share: float = Field(0.8, gt=0.0, le=1.0)
    """Share of a client's tiles that carry its majority label, in (0, 1]; arXiv 2504.04130 uses 0.6 to 0.9. For
    'majority-label'."""
    alpha: Positive = 0.5
    """Concentration of the Dirichlet distribution, > 0; small is more skewed. For 'dirichlet'."""


class FederationConfig(Section):
    """Who trains, how long, and what is shared."""

    mode: Literal["federated", "centralised", "md-gan"] = "federated"
    """'federated': clients train both networks, the server averages; 'centralised': the baseline, one data-parallel
    training on all tiles; 'md-gan': one generator on the server, discriminators that stay with the clients and swap
    (Hardy et al. 2019)."""
    num_clients: int = Field(4, ge=1, le=1_000_000)
    """Clients (hospitals) the training tiles are spread over, >= 1."""
    num_rounds: int = Field(10, ge=1)
    """Federated rounds, >= 1."""
    client_fraction: float = Field(1.0, gt=0.0, le=1.0)
    """Share of the clients drawn for a round, in (0, 1]; at least one client is drawn."""
    local_epochs: int = Field(5, ge=1)
    """Passes over a client's tiles per round, >= 1, counted in discriminator steps; unused if local_steps is set. Five,
    as in McMahan et al. (2017): averaging and evaluation cost little beside them."""
    local_steps: int | None = Field(None, ge=1)
    """Discriminator steps per client and round, >= 1; unset: local_epochs decides."""
    aggregate: Literal["both", "generator", "discriminator"] = "both"
    """Which network the server averages; the other one stays with its client."""
    swap_every: int = Field(1, ge=0)
    """Rounds after which 'md-gan' passes the discriminators on to other clients; 0: never."""
    strategy: StrategyName = Field("fedavg", description=described_strategies())
    weighting: Literal["size", "uniform", "label-balance"] = "size"
    """What a client weighs in a mean: its tiles; 1; or its tiles times the effective number of its labels, the
    exponential of their entropy."""
    server_lr: Positive | None = None
    """Learning rate of the server, > 0; unset: 1 for 'fedavgm' and 'scaffold', 0.1 for 'fedadam', 'fedyogi',
    'fedadagrad'."""
    server_momentum: float = Field(0.9, ge=0.0, lt=1.0)
    """Momentum of 'fedavgm', beta1 of 'fedadam' and 'fedyogi', in [0, 1)."""
    proximal_mu: NonNegative = 0.01
    """Weight mu of the proximal term, >= 0. For 'fedprox'."""
    trimmed_share: float = Field(0.2, ge=0.0, lt=0.5)
    """Share of the clients left out at either end of every weight, in [0, 0.5), and 1 client at least. For
    'trimmed-mean'."""
    num_malicious: int = Field(0, ge=0)
    """Clients that may be malicious, >= 0; a round needs 2 x that + 3 clients. For 'krum'."""
    keep_optimizer: bool = True
    """Keep the Adam moments on the client from round to round; off: every round starts with fresh ones."""
    merge_replies: bool = False
    """Average replies on the workers before they travel: less memory and traffic with many clients or large networks;
    two runs then agree to float rounding, instead of digit for digit."""
    max_failed_share: float = Field(0.0, ge=0.0, lt=1.0)
    """Share of a round's clients that may fail before the run does, in [0, 1)."""
    round_timeout_s: Positive = 3600.0
    """Longest a round may wait for its clients, in seconds, > 0."""
    checkpoint_every: int = Field(1, ge=1)
    """Rounds between two checkpoints, >= 1."""


class PrivacyConfig(Section):
    """Differential privacy of clients: their updates are clipped, and noise is added to the mean (McMahan et al. 2018).

    What is guaranteed is logged as privacy/epsilon at the given delta, over all that the experiment has released;
    clients are whole hospitals, not patients.
    """

    noise_multiplier: NonNegative = 0.0
    """Standard deviation of the noise on the sum of updates, in clipping norms, >= 0; 0: no differential privacy."""
    clipping_norm: Positive = 1.0
    """Longest update of a client over all arrays together, > 0: a longer one is scaled down."""
    delta: float = Field(1e-5, gt=0.0, lt=1.0)
    """Probability with which the guarantee may fail, in (0, 1); well below 1 / clients."""

    @property
    def on(self) -> bool:
        """Whether there is noise."""
        return self.noise_multiplier > 0


class EvaluationConfig(Section):
    """How the generator is judged."""

    extractor: Literal["efficientnet-lite0", "domain-cnn", "inception-v3-compat"] | None = None
    """Features for FID and KID: 'efficientnet-lite0' is a frozen ImageNet network, installed with FedRay; 'domain-cnn'
    is trained once on the store's real training tiles; 'inception-v3-compat' is the one of the literature and needs its
    weights. Unset: 'efficientnet-lite0', or 'domain-cnn' for the discriminator 'projected', which
    trains against the former's."""
    extractor_weights: str | None = None
    """Path of the extractor's weight file; unset: torch-fidelity's own download. For 'inception-v3-compat'."""
    num_samples: int | None = Field(None, ge=16)
    """Generated and real tiles compared, >= 16 and no more than the split has; scores compare only at equal numbers,
    which their names carry. Unset: 256, or all tiles of a smaller split; fewer where other real tiles, of the other
    split or unused, would not be enough of each label for floor and self-test."""
    split: Literal["train", "test"] = "test"
    """The real tiles that generated ones are compared with."""
    every: int = Field(1, ge=1)
    """Rounds between two evaluations, >= 1; the last round is always evaluated."""

    @property
    def chosen_extractor(self) -> str:
        """The extractor, with the default where it is unset."""
        return self.extractor or "efficientnet-lite0"


class ResourcesConfig(Section):
    """What one experiment takes of the cluster."""

    num_workers: int | None = Field(None, ge=1)
    """Worker processes that run the clients, >= 1; unset: planned from the cluster's size."""
    cpus_per_worker: float = Field(1.0, gt=0.0)
    """CPU cores per worker, > 0."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where clients train; 'auto' takes GPUs where the cluster has any."""
    workers_per_gpu: int = Field(2, ge=1)
    """Workers that share one GPU, >= 1."""
    start_timeout_s: Positive = 300.0
    """Longest to wait for the first worker to start, in seconds, > 0."""


class TrackingConfig(Section):
    """How the run appears in MLflow."""

    experiment: str = Field("fedray", min_length=1, max_length=500)
    """Name of the MLflow experiment, 1 to 500 characters."""
    run_name: str | None = None
    """Name of the run; unset: objective, data set, what differs from the defaults, and seed."""


class ExperimentConfig(Section):
    """One federated (or centralised) experiment."""

    seed: int = Field(0, ge=0)
    """Seed of every random stream, >= 0."""
    task: TaskName = Field("gan", description=described_tasks())
    data: DataConfig = DataConfig()
    partition: PartitionConfig = PartitionConfig()
    gan: GanConfig = GanConfig()
    classification: ClassificationConfig = ClassificationConfig()
    federation: FederationConfig = FederationConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    resources: ResourcesConfig = ResourcesConfig()
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="after")
    def _sections_that_go_together(self) -> Self:
        problems = [*self._mode_problems(), *self._robustness_problems(), *self._site_problems()]
        problems += self._classification_problems() if self.task == "classification" else []
        problems += self._privacy_problems() if self.privacy.on else []
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _mode_problems(self) -> list[str]:
        federation, problems = self.federation, []
        if federation.mode != "federated" and federation.aggregate != "both":
            problems.append(
                f"federation.aggregate must be 'both' in mode {federation.mode!r} (there is no choice of what to "
                f"share), but got {federation.aggregate!r}"
            )
        if federation.mode != "federated" and federation.strategy != "fedavg":
            problems.append(
                f"federation.strategy must be 'fedavg' in mode {federation.mode!r} (no weights of clients are "
                f"aggregated), but got {federation.strategy!r}"
            )
        if federation.mode == "md-gan" and federation.client_fraction < 1:
            problems.append(
                "federation.client_fraction must be 1 in mode 'md-gan' (a discriminator that is left out falls "
                f"behind), but got {federation.client_fraction:g}"
            )
        if federation.mode == "md-gan" and federation.max_failed_share > 0:
            problems.append(
                "federation.max_failed_share must be 0 in mode 'md-gan' (every discriminator judges every step), but "
                f"got {federation.max_failed_share:g}"
            )
        return problems

    def _classification_problems(self) -> list[str]:
        """Refuse what is made for GANs, and an early stop that nobody could tell."""
        federation, problems = self.federation, list[str]()
        if federation.mode == "md-gan":
            problems.append(
                "federation.mode must be 'federated' or 'centralised' for task 'classification', but got 'md-gan'"
            )
        if federation.aggregate != "both":
            problems.append(
                "federation.aggregate is which network of a GAN is averaged, but task is 'classification', and got "
                f"{federation.aggregate!r}; leave it out"
            )
        if self.privacy.on:
            problems.append(
                "privacy is for task 'gan': a classifier is judged on the clients' tiles, and its noise was never "
                "tried; leave it out"
            )
        if self.evaluation.num_samples is not None or self.evaluation.extractor is not None:
            problems.append(
                "evaluation.num_samples and evaluation.extractor are for generated tiles, but task is "
                "'classification', which is judged by all tiles of evaluation.split; leave them out"
            )
        if self.classification.patience is not None and self.data.store == SITES:
            problems.append(
                f"classification.patience needs a data.store that the server has too, but got {SITES!r}: it has no "
                "tile to validate on"
            )
        return problems

    def _site_problems(self) -> list[str]:
        """Refuse what needs all tiles in one place, or an account of what the sites say of theirs."""
        if self.data.store != SITES:
            return []
        problems = []
        if self.federation.mode == "centralised":
            problems.append(
                f"data.store {SITES!r} needs federation.mode 'federated' or 'md-gan', but got 'centralised'"
            )
        if self.partition != PartitionConfig():
            problems.append(f"partition must be left out with data.store {SITES!r}: every site has its own tiles")
        if self.privacy.on:
            problems.append(
                f"privacy needs a data.store that the server has too, but got {SITES!r}: which labels a site has would "
                "be covered by no account"
            )
        return problems

    def _robustness_problems(self) -> list[str]:
        """Refuse a robust strategy that protects from nobody with so few clients."""
        federation = self.federation
        num_asked = max(1, round(federation.client_fraction * self.num_clients))
        num_sure = num_asked - int(federation.max_failed_share * num_asked)
        clients = f"{num_sure} clients are sure to answer in a round"
        if federation.strategy == "fedmedian" and num_sure < 3:
            return [
                "federation.strategy 'fedmedian' needs at least 3 clients a round, as the median of 2 is their mean, "
                f"but {clients}; take more clients, or 'fedavg'"
            ]
        if federation.strategy == "trimmed-mean" and int(federation.trimmed_share * num_sure) < 1:
            remedy = f"set it to {math.ceil(1000 / num_sure) / 1000:g} or more" if num_sure > 2 else "take 3 or more"
            return [
                f"federation.trimmed_share of {federation.trimmed_share:g} leaves nobody out where {clients}, so "
                f"'trimmed-mean' would be the plain mean; {remedy}, or take 'fedavg'"
            ]
        needed = 2 * federation.num_malicious + 3
        if federation.strategy == "krum" and num_sure < needed:
            return [
                "federation.strategy 'krum' needs at least 2 x federation.num_malicious + 3 clients a round (Blanchard "
                f"et al. 2017), here {needed}, but {clients}; take more clients, or lower federation.num_malicious"
            ]
        return []

    def _privacy_problems(self) -> list[str]:
        federation, problems = self.federation, []
        if federation.mode != "federated":
            problems.append(f"privacy needs federation.mode 'federated', but got {federation.mode!r}")
        if federation.strategy not in ("fedavg", "fedprox"):
            problems.append(
                "privacy needs federation.strategy 'fedavg' or 'fedprox', whose mean the account is for, but got "
                f"{federation.strategy!r}"
            )
        if federation.weighting != "uniform":
            problems.append(
                "privacy needs federation.weighting 'uniform', because no client may count for more than the noise "
                f"covers, but got {federation.weighting!r}"
            )
        if federation.max_failed_share > 0:
            problems.append(
                "privacy needs federation.max_failed_share 0, because the noise is made for the clients that were "
                f"asked, but got {federation.max_failed_share:g}"
            )
        if federation.aggregate == "discriminator":
            problems.append(
                "privacy needs federation.aggregate 'both' or 'generator', but got 'discriminator': tiles of the "
                "clients' own generators would travel to be judged, and no noise covers those"
            )
        if self.gan.generator == "custom-cnn":
            problems.append(
                "privacy needs gan.generator 'residual', but got 'custom-cnn', which draws tiles with BatchNorm "
                "statistics: means of a client's tiles, which never leave it"
            )
        return problems

    def resolved(self) -> Self:
        """Return the same with every field of ``gan`` set that has the value of the objective's source if unset."""
        return self.model_copy(update={"gan": self.gan.resolved()})

    @property
    def num_clients(self) -> int:
        """Clients that really exist: ``federation.num_clients``, or 1 in centralised mode."""
        return 1 if self.federation.mode == "centralised" else self.federation.num_clients
