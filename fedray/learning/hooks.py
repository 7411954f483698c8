"""What may change a training step from outside: its loss, its gradient, and of a classifier its logits too."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from fedray.data import LabelledTiles
from fedray.learning.conditions import Condition


class Hook:
    """Changes what a step minimises, or the gradient of it. This one does neither."""

    def loss(self, name: str, network: nn.Module, tiles: Tensor, condition: Condition) -> Tensor | None:
        """Return a term that is added to the loss of a network that reads real tiles; None for no term.

        Args:
            name: Of the network.
            network: Which is about to take a step.
            tiles: Of this step's batch, real ones, [N, C, H, W] float32 in [-1, 1].
            condition: Of these tiles.
        """
        return None

    def gradient(self, name: str, network: nn.Module) -> None:
        """Change a network's gradient, before it is clipped and used."""


class ClassifierHook(Hook):
    """Changes more of a classifier's step: only a classifier asks it. This one changes nothing."""

    views: ClassVar[int] = 1
    """Augmentations of every tile that a step reads, >= 1; the loss is of the first."""

    def begin(self, tiles: LabelledTiles) -> Sequence[nn.Module]:
        """Look at the tiles that a pass trains on, before its first step.

        Returns:
            Networks on the classifier's device that are trained beside it, by fresh optimisers like its own.
        """
        return ()

    def logits(self, logits: Tensor) -> Tensor:
        """Return what the loss takes in the place of logits, [N, num_labels] float32."""
        return logits

    def contrast(self, features: Tensor, labels: Tensor) -> Tensor | None:
        """Return a term that is added to the loss, of what the classifier's last layer takes; None for no term.

        Args:
            features: Of the same tiles in each view, [views, N, F] float32.
            labels: [N] int64.
        """
        return None


class Proximal(Hook):
    """Adds the gradient of FedProx's term (mu / 2) ||w - w_0||^2 (Li et al. 2020, eq. 2)."""

    def __init__(self, networks: Mapping[str, nn.Module], mu: float) -> None:
        """Take the networks, by name, as they are now, which is w_0; and the weight of the term, >= 0."""
        self._anchors = {
            name: [parameter.detach().clone() for parameter in network.parameters()]
            for name, network in networks.items()
        }
        self._mu = mu

    def gradient(self, name: str, network: nn.Module) -> None:
        """Pull the network back."""
        for parameter, anchor in zip(network.parameters(), self._anchors[name], strict=True):
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - anchor, alpha=self._mu)
