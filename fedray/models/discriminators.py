"""Discriminators (critics for Wasserstein objectives): a backbone, how the condition enters, and the heads."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from fedray.config import GanConfig
from fedray.models.backbones import couples_samples, make_backbone
from fedray.models.conditions import Condition, MultiplyingEmbedding, TileShape, not_halved

Conditioning = Literal["multiply", "projection", "classifier"]
"""How labels and domains reach a discriminator: 'multiply' the tile by learned images (S2); 'projection' of the
features on learned vectors (Miyato and Koyama 2018); 'classifier': not at all, it has to tell them (Odena et al. 2017).
"""


class Judgement(NamedTuple):
    """What a discriminator says of tiles."""

    scores: Tensor
    """[N] float32, unbounded; higher is more real."""
    label_logits: Tensor | None = None
    """[N, labels] float32 of a 'classifier'."""
    domain_logits: Tensor | None = None
    """[N, domains] float32 of a 'classifier', where there are several domains."""

    def halves(self) -> tuple["Judgement", "Judgement"]:
        """Split a joined batch."""
        scores = self.scores.chunk(2)
        labels, domains = ((None, None) if logits is None else logits.chunk(2) for logits in self[1:])
        return Judgement(scores[0], labels[0], domains[0]), Judgement(scores[1], labels[1], domains[1])


class Discriminator(nn.Module):
    """Judges tiles under a condition."""

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
            config: Backbone, initialisation, spectral norm.
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
        width = self.backbone.num_features
        self.score = nn.Linear(width, 1)
        self.project_label = self.project_domain = self.tell_label = self.tell_domain = None
        several = shape.num_domains > 1
        if conditioning == "projection":
            self.project_label = nn.Embedding(shape.num_labels, width)
            self.project_domain = nn.Embedding(shape.num_domains, width) if several else None
        if conditioning == "classifier":
            self.tell_label = nn.Linear(width, shape.num_labels)
            self.tell_domain = nn.Linear(width, shape.num_domains) if several else None
        if config.recipe.spectral_norm:
            _normalise_spectrally(self)

    def forward(self, tiles: Tensor, condition: Condition) -> Judgement:
        """Judge tiles [N, C, size, size] float32 in [-1, 1] under a condition of N tiles."""
        features = self.backbone(tiles if self.condition is None else self.condition(tiles, condition))
        scores: Tensor = self.score(features).squeeze(1)
        if self.project_label is not None:
            scores = scores + (self.project_label(condition.labels) * features).sum(1)
        if self.project_domain is not None:
            scores = scores + (self.project_domain(condition.domains) * features).sum(1)
        return Judgement(
            not_halved(scores),
            None if self.tell_label is None else not_halved(self.tell_label(features)),
            None if self.tell_domain is None else not_halved(self.tell_domain(features)),
        )


def judge_both(
    discriminator: nn.Module, real: Tensor, fake: Tensor, condition: Condition
) -> tuple[Judgement, Judgement]:
    """Judge real and generated tiles of the same condition.

    In one pass, which is faster; in two where the discriminator has BatchNorm, whose statistics would mix the two.
    """
    if couples_samples(discriminator):
        return discriminator(real, condition), discriminator(fake, condition)
    judgement: Judgement = discriminator(torch.cat([real, fake]), condition.twice())
    return judgement.halves()


def _normalise_spectrally(module: nn.Module) -> None:
    """Divide each weight that multiplies features by its largest singular value, found by power iteration."""
    for child in list(module.modules()):
        if isinstance(child, nn.Conv2d | nn.Linear | nn.Embedding) and child.weight.requires_grad:
            parametrizations.spectral_norm(child)
