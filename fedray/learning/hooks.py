"""What a strategy may do to a client's training, whatever is trained."""

from collections.abc import Callable, Mapping

from torch import nn

GradientHook = Callable[[str, nn.Module], None]
"""Is shown a network's name and the network between its gradient and its step, and may change the gradient."""


def proximal(networks: Mapping[str, nn.Module], mu: float) -> GradientHook:
    """Return a hook that adds the gradient of FedProx's term (mu / 2) ||w - w_0||^2 (Li et al. 2020, eq. 2).

    Args:
        networks: By name, as they are now, which is w_0.
        mu: Weight of the term, >= 0.
    """
    anchors = {
        name: [parameter.detach().clone() for parameter in network.parameters()] for name, network in networks.items()
    }

    def pull_back(name: str, network: nn.Module) -> None:
        for parameter, anchor in zip(network.parameters(), anchors[name], strict=True):
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - anchor, alpha=mu)

    return pull_back
