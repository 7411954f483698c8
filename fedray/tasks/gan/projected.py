"""Projected discriminator (Sauer et al. 2021, arXiv 2111.01007): small heads on features of a frozen network."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedray.config import GanConfig
from fedray.data import TileShape
from fedray.learning import Condition, ModelError
from fedray.pretrained import PretrainedError
from fedray.tasks.gan.frozen import frozen_features
from fedray.tasks.gan.judgements import Conditioning, Judgement, JudgingModule, LabelSpread, normalise_spectrally

_JUDGED_EDGE = 4
"""Edge of the maps that heads judge position by position, at most; larger maps are halved by strided convolutions."""


class ProjectedDiscriminator(nn.Module):
    """Enlarges tiles, looks at them through a frozen network at four depths, and judges each depth with a head.

    Only the heads are trained; what is frozen is in no array (see :mod:`fedray.tasks.gan.frozen`).
    """

    def __init__(self, config: GanConfig, shape: TileShape, conditioning: Conditioning) -> None:
        """Build it.

        Args:
            config: Width of the heads, what they know of a batch, spectral norm, the size that tiles are enlarged to.
            shape: Of the tiles.
            conditioning: What the objective asks for: 'projection' or 'classifier', the configuration sees to it.

        Raises:
            ModelError: The tiles are neither grey nor of three colours, or the frozen network's weights are missing.
        """
        super().__init__()
        assert conditioning != "multiply", "the configuration refuses objectives that change the tile"
        if shape.channels not in (1, 3):
            raise ModelError(
                "gan.discriminator 'projected' looks through a network that knows photographs, so tiles must have 1 or "
                f"3 channels, but they have {shape.channels}; take gan.discriminator 'cnn'"
            )
        self._size = max(shape.size, config.enlarge_to)
        width = 2 * config.discriminator_channels
        try:
            self.features = frozen_features(width, self._size)
        except PretrainedError as error:
            raise ModelError(f"gan.discriminator 'projected': {error}") from error
        with torch.no_grad():
            edges = [part.shape[-1] for part in self.features(torch.zeros(1, 3, self._size, self._size))]
        self.heads = nn.ModuleList(Head(config, shape, conditioning, width, edge) for edge in edges)
        if config.recipe.spectral_norm:
            normalise_spectrally(self.heads)

    def forward(self, tiles: Tensor, condition: Condition) -> Judgement:
        """Judge tiles [N, C, size, size] float32 in [-1, 1] under a condition of N tiles.

        Scores are [N, S], one of every position of every head; logits are means over them.
        """
        pictures = tiles.expand(-1, 3, -1, -1)
        if pictures.shape[-1] != self._size:
            pictures = functional.interpolate(pictures, (self._size,) * 2, mode="bilinear", align_corners=False)
        judged = [head(part, condition) for head, part in zip(self.heads, self.features(pictures), strict=True)]
        return Judgement(
            torch.cat([judgement.scores for judgement in judged], 1),
            _mean([judgement.label_logits for judgement in judged]),
            _mean([judgement.domain_logits for judgement in judged]),
        )


class Head(JudgingModule):
    """Convolutions that halve a map to at most 4 px, then a judgement of each of its positions."""

    def __init__(self, config: GanConfig, shape: TileShape, conditioning: Conditioning, inward: int, edge: int) -> None:
        """Size it.

        Args:
            config: Has the width of its layers, and whether it is told how tiles of a label spread over the batch.
            shape: Of the tiles: how many labels and domains there are.
            conditioning: What the objective asks for.
            inward: Channels of the features.
            edge: Of the features' maps.
        """
        super().__init__()
        width = config.discriminator_channels
        layers: list[nn.Module] = []
        while edge > _JUDGED_EDGE:
            layers += [
                nn.Conv2d(inward, width, 4, stride=2, padding=1, bias=False),  # the norm after it has a shift
                nn.GroupNorm(4, width),
                nn.LeakyReLU(0.2),
            ]
            inward, edge = width, edge // 2
        self.body = nn.Sequential(*layers)
        self.spread = LabelSpread() if config.minibatch_stddev else None
        self.last = nn.Sequential(nn.Conv2d(inward + config.minibatch_stddev, width, 3, padding=1), nn.LeakyReLU(0.2))
        self.make_heads(width, shape, conditioning)

    def forward(self, features: Tensor, condition: Condition) -> Judgement:
        """Judge features [N, inward, edge, edge] float32 under a condition of N tiles; scores are [N, positions]."""
        maps = self.body(features)
        if self.spread is not None:
            maps = self.spread(maps, condition.labels)
        vectors = self.last(maps).flatten(2).transpose(1, 2)  # [N, positions, width]
        num, positions, _ = vectors.shape
        everywhere = Condition(*(part.repeat_interleave(positions) for part in condition))
        judged = self.judge(vectors.flatten(0, 1), everywhere)
        return Judgement(
            judged.scores.view(num, positions),
            *(None if logits is None else logits.view(num, positions, -1).mean(1) for logits in judged[1:]),
        )


def _mean(logits: list[Tensor | None]) -> Tensor | None:
    present = [part for part in logits if part is not None]
    return torch.stack(present).mean(0) if present else None
