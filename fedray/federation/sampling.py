"""Which clients take part in a round: drawn from a named stream and shown to the strategy as the whole grid."""

from collections.abc import Iterable

from flwr.serverapp import Grid

from fedray.federation.grids import PassingGrid
from fedray.randomness import stream


def sample_clients(node_ids: list[int], fraction: float, seed: int, round_index: int) -> list[int]:
    """Draw a round's clients without replacement: the rounded fraction of all, at least one. Sorted."""
    # Positions are drawn, not ids: Flower's ids go up to 2**64, which NumPy would turn into floats.
    positions = stream(seed, "sampling", round_index).choice(
        len(node_ids), num_sampled(len(node_ids), fraction), replace=False
    )
    ordered = sorted(node_ids)
    return [ordered[position] for position in sorted(positions)]


def num_sampled(num_clients: int, fraction: float) -> int:
    """Count the clients of a round."""
    return max(1, round(fraction * num_clients))


class SampledGrid(PassingGrid):
    """A grid of which a strategy sees the sampled nodes only.

    Flower's strategies draw nodes themselves, with Python's global random; where they see only the sampled ones and
    take all of them, any of them follows our named streams unchanged.
    """

    def __init__(self, grid: Grid, node_ids: list[int]) -> None:
        """Show only ``node_ids`` of ``grid``."""
        super().__init__(grid)
        self._node_ids = node_ids

    def get_node_ids(self) -> Iterable[int]:
        """Return the sampled nodes."""
        return list(self._node_ids)
