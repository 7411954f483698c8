"""A SuperLink's grid that looks for replies sooner than Flower's own does, which looks every three seconds."""

import time
from collections.abc import Iterable

from flwr.app import Message

from fedray.federation.grids import PassingGrid

_SHORTEST_S, _LONGEST_S = 0.1, 2.0
_SHARE = 0.1
"""Of the time waited so far, until the next look: what takes hours is asked for seldom."""


class SoonGrid(PassingGrid):
    """Passes everything on, and waits for replies itself."""

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send messages, and return the replies in the order of arrival: all, or those within the timeout."""
        replies, started = list[Message](), time.monotonic()
        waiting = {each for each in self._grid.push_messages(messages) if each}  # none of one that was not taken
        while True:
            for reply in self._grid.pull_messages(waiting):
                waiting.discard(reply.metadata.reply_to_message_id)
                replies.append(reply)
            waited_s = time.monotonic() - started
            if not waiting or (timeout is not None and waited_s >= timeout):
                return replies
            time.sleep(min(_LONGEST_S, max(_SHORTEST_S, _SHARE * waited_s)))
