"""Discriminators (critics for Wasserstein objectives): a backbone, how the condition enters, and the heads."""

import torch
from torch import Tensor, nn

from fedray.config import PROJECTED, GanConfig
from fedray.data import TileShape
from fedray.learning import Condition
from fedray.tasks.gan.backbones import couples_samples, make_backbone
from fedray.tasks.gan.conditions import MultiplyingEmbedding
from fedray.tasks.gan.judgements import Conditioning, Judgement, JudgingModule, LabelSpread, normalise_spectrally
from fedray.tasks.gan.projected import ProjectedDiscriminator


class Discriminator(JudgingModule):
    """Judges tiles under a condition by one feature vector a tile."""

    def __init__(
        self,
        config: GanConfig,
        shape: TileShape,
        conditioning: Conditioning,
        *,
        linear: bool = False,
        load_weights: bool = True,
    ) -> None:
        """Build it.

        Args:
            config: Backbone, initialisation, what is known of a batch, spectral norm.
            shape: Of the tiles.
            conditioning: What the objective asks for.
            linear: Whether the objective has a loss that is linear in the scores.
            load_weights: Whether to load ImageNet weights where they are configured.

        Raises:
            ModelError: The backbone cannot be built.
        """
        super().__init__()
        self.condition = MultiplyingEmbedding(shape, shape.size) if conditioning == "multiply" else None
        self.backbone = make_backbone(config, shape, linear=linear, load_weights=load_weights)
        self.spread = LabelSpread() if config.minibatch_stddev else None
        self.make_heads(self.backbone.num_features + config.minibatch_stddev, shape, conditioning)
        if config.recipe.spectral_norm:
            normalise_spectrally(self)

    def forward(self, tiles: Tensor, condition: Condition) -> Judgement:
        """Judge tiles [N, C, size, size] float32 in [-1, 1] under a condition of N tiles."""
        features = self.represent(tiles, condition)
        if self.spread is not None:
            features = self.spread(features, condition.labels)
        return self.judge(features, condition)

    def represent(self, tiles: Tensor, condition: Condition) -> Tensor:
        """Return the feature vectors [N, D] by which tiles are judged."""
        features: Tensor = self.backbone(tiles if self.condition is None else self.condition(tiles, condition))
        return features


def make_discriminator(
    config: GanConfig, shape: TileShape, conditioning: Conditioning, *, linear: bool, load_weights: bool
) -> Discriminator | ProjectedDiscriminator:
    """Build the configured discriminator. Arguments and errors as in :class:`Discriminator`."""
    if config.discriminator == PROJECTED:
        return ProjectedDiscriminator(config, shape, conditioning)
    return Discriminator(config, shape, conditioning, linear=linear, load_weights=load_weights)


def judge_both(
    discriminator: nn.Module, real: Tensor, fake: Tensor, condition: Condition
) -> tuple[Judgement, Judgement]:
    """Judge real and generated tiles of the same condition.

    In one pass, which is faster; in two where tiles of a batch are judged together, which would mix the two.
    """
    if couples_samples(discriminator):
        return discriminator(real, condition), discriminator(fake, condition)
    judgement: Judgement = discriminator(torch.cat([real, fake]), condition.twice())
    return judgement.halves()
