"""What may change a training step from outside: its loss, or its gradient."""

from collections.abc import Mapping

from torch import Tensor, nn

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
