"""What a discriminator says of tiles, and the layers that say it: one for the source, others for the condition."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from fedray.data import TileShape
from fedray.learning import Condition
from fedray.tasks.gan.conditions import not_halved

Conditioning = Literal["multiply", "projection", "classifier"]
"""How labels and domains reach a discriminator: 'multiply' the tile by learned images (arXiv 2504.04130);
'projection' of the features on learned vectors (Miyato and Koyama 2018); 'classifier': not at all, it has to tell them
(Odena et al. 2017).
"""


class Judgement(NamedTuple):
    """What a discriminator says of tiles."""

    scores: Tensor
    """[N] float32, unbounded; higher is more real. [N, S] where it judges a tile S times: losses are means over all."""
    label_logits: Tensor | None = None
    """[N, labels] float32 of a 'classifier'."""
    domain_logits: Tensor | None = None
    """[N, domains] float32 of a 'classifier', where there are several domains."""

    def halves(self) -> tuple["Judgement", "Judgement"]:
        """Split a joined batch."""
        scores = self.scores.chunk(2)
        labels, domains = ((None, None) if logits is None else logits.chunk(2) for logits in self[1:])
        return Judgement(scores[0], labels[0], domains[0]), Judgement(scores[1], labels[1], domains[1])


class JudgingModule(nn.Module):
    """Judges features under a condition; what makes the features is added by its subclasses."""

    def make_heads(self, width: int, shape: TileShape, conditioning: Conditioning) -> None:
        """Make the layers that judge; to be called by the constructor.

        Args:
            width: Of a feature vector.
            shape: Of the tiles: how many labels and domains there are.
            conditioning: What the objective asks for.
        """
        self.score = nn.Linear(width, 1)
        self.project_label = self.project_domain = self.tell_label = self.tell_domain = None
        several = shape.num_domains > 1
        if conditioning == "projection":
            self.project_label = nn.Embedding(shape.num_labels, width)
            self.project_domain = nn.Embedding(shape.num_domains, width) if several else None
        if conditioning == "classifier":
            self.tell_label = nn.Linear(width, shape.num_labels)
            self.tell_domain = nn.Linear(width, shape.num_domains) if several else None

    def judge(self, features: Tensor, condition: Condition) -> Judgement:
        """Judge feature vectors [N, width] under a condition of N tiles."""
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


class LabelSpread(nn.Module):
    """Adds to features how much they spread over the batch: so a generator that repeats itself is seen.

    Minibatch standard deviation (Karras et al. 2018, section 3), here within each label: over the whole batch, the
    difference between labels would hide that each has one tile alone. It has no parameters.
    """

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Append one channel to features [N, C, ...] float: the same number for all tiles of a label.

        It is the standard deviation over the batch's tiles of that label (unbiased), averaged over channels and
        positions, and about 0 for a label with a single tile.

        Args:
            features: Of tiles.
            labels: [N] int64.

        Returns:
            [N, C + 1, ...].
        """
        flat = features.flatten(1).float()  # a sum of squares has no digits to spare
        same = (labels[:, None] == labels).to(flat.dtype)
        num = same.sum(1, keepdim=True)
        variances = same @ (flat - same @ flat / num).square() / (num - 1).clamp(min=1)
        spread = (variances + 1e-8).sqrt().mean(1).to(features.dtype)
        channel = spread.view(-1, *[1] * (features.dim() - 1)).expand(-1, 1, *features.shape[2:])
        return torch.cat([features, channel], 1)


def normalise_spectrally(module: nn.Module) -> None:
    """Divide each weight that multiplies features by its largest singular value, found by power iteration."""
    for child in list(module.modules()):
        if isinstance(child, nn.Conv2d | nn.Linear | nn.Embedding) and child.weight.requires_grad:
            parametrizations.spectral_norm(child)
