"""Every message of a federation, and what of a site's own can be found in it."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from flwr.app import ArrayRecord, Message

from fedray.federation.grids import PassingGrid
from fedray.federation.messages import from_record


class Entry(NamedTuple):
    """An entry of a record of a message; ``node`` is the site's."""

    sender: str
    message: str
    record: str
    name: str
    value: object
    node: int


class RecordingGrid(PassingGrid):
    """Keeps the entries of every message, on its way down and up."""

    def __init__(self, grid):
        super().__init__(grid)
        self.entries = []

    def send_and_receive(self, messages, *, timeout=None):
        sent = list(messages)
        for message in sent:
            self.entries += entries_of("server", message, message.metadata.dst_node_id)
        replies = list(self._grid.send_and_receive(sent, timeout=timeout))
        for reply in replies:
            assert not reply.has_error(), reply.error
            self.entries += entries_of("site", reply, reply.metadata.src_node_id)
        return replies

    @property
    def kinds(self):
        """The entries without those that differ from an earlier one in site, round and value alone."""
        return list({entry[:4]: entry for entry in self.entries}.values())

    @property
    def contexts(self):
        return self._grid.contexts


def entries_of(sender: str, message: Message, node: int) -> Iterator[Entry]:
    """Take a message apart, to the last entry."""
    for record, content in message.content.items():
        values = from_record(content) if isinstance(content, ArrayRecord) else content
        for name, value in values.items():
            kept = np.array(value) if isinstance(value, np.ndarray) else value
            yield Entry(sender, message.metadata.message_type, record, name, kept, node)


def tiles_in(value: object, tiles: np.ndarray) -> int:
    """Count which of some tiles, uint8 [n, H, W, C], stand in an array: as bytes or in [-1, 1], channels last or first.

    They are looked for in all eight positions, as augmentation turns and flips them.
    """
    if not isinstance(value, np.ndarray) or value.ndim < 3:
        return 0
    _, height, width, channels = tiles.shape
    grey = value if value.dtype == np.uint8 else np.rint((value.astype(np.float64) + 1) * 127.5)
    if value.shape[-3:] == (channels, height, width):
        grey = np.moveaxis(grey, -3, -1)
    elif value.shape[-3:] != (height, width, channels):
        return 0
    with np.errstate(invalid="ignore"):
        found = {one.astype(np.uint8).tobytes() for one in grey.reshape(-1, height, width, channels)}
    turned = (np.rot90(each, turns, (1, 2)) for each in (tiles, tiles[:, :, ::-1]) for turns in range(4))
    return sum(tile.tobytes() in found for position in turned for tile in map(np.ascontiguousarray, position))


def words_in(entries: Iterable[Entry], words: Iterable[str]) -> list[str]:
    """Find words in the names and texts of messages."""
    told = "\n".join(f"{entry.name}\n{entry.value}" for entry in entries if not isinstance(entry.value, np.ndarray))
    return [word for word in words if word in told]
