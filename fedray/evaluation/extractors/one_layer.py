"""What torch-fidelity asks of every extractor, answered for those with one layer of features."""

from typing import ClassVar

from torch_fidelity.feature_extractor_base import FeatureExtractorBase


class OneLayer(FeatureExtractorBase):
    """An extractor of ``WIDTH`` features, which are also the name of its only layer."""

    WIDTH: ClassVar[int]

    @classmethod
    def get_provided_features_list(cls) -> tuple[str]:
        """The one layer that can be asked for."""
        return (str(cls.WIDTH),)

    @classmethod
    def get_default_feature_layer_for_metric(cls, metric: str) -> str:
        """The same layer for every metric."""
        return str(cls.WIDTH)

    @staticmethod
    def can_be_compiled() -> bool:
        """Compiling takes longer than the evaluations of a run."""
        return False
