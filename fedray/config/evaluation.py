"""The section ``evaluation``: how what was trained is judged."""

from typing import Literal

from pydantic import Field

from fedray.config.section import Section


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
