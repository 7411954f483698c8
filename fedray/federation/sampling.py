"""Which clients take part in a round: drawn from a named stream and shown to the strategy as the whole grid."""

from collections.abc import Iterable

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run

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


class SampledGrid(Grid):
    """A grid of which a strategy sees the sampled nodes only.

    Flower's strategies draw nodes themselves, with Python's global random; where they see only the sampled ones and
    take all of them, any of them follows our named streams unchanged.
    """

    def __init__(self, grid: Grid, node_ids: list[int]) -> None:
        """Show only ``node_ids`` of ``grid``."""
        self._grid, self._node_ids = grid, node_ids

    def get_node_ids(self) -> Iterable[int]:
        """Return the sampled nodes."""
        return list(self._node_ids)

    def set_run(self, run: Run) -> None:
        """Pass on to the grid."""
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        """The grid's run."""
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Pass on to the grid."""
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Pass on to the grid."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Pass on to the grid."""
        return self._grid.pull_messages(message_ids)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Pass on to the grid."""
        return self._grid.send_and_receive(messages, timeout=timeout)
