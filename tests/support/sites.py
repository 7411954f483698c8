"""Sites with stores of their own, in this process or each in its own, where the server cannot reach them."""

import multiprocessing
import uuid
from multiprocessing.connection import Connection

from flwr.app import Context, Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.supercore.task_identity import TaskIdentity

from fedray.federation import client_app
from fedray.testing import LocalGrid


def site_grid(paths):
    """Return a grid in this process whose nodes name their own stores."""
    grid = LocalGrid(client_app, len(paths))
    for context, path in zip(grid.contexts.values(), paths, strict=True):
        context.node_config["store"] = str(path)
    return grid


class SiteGrid(LocalGrid):
    """A grid of one process a site, each with its own node configuration."""

    def __init__(self, node_configs):
        super().__init__(None, 0)
        spawn = multiprocessing.get_context("spawn")
        self._sites = {}
        for number, node_config in enumerate(node_configs):
            ours, theirs = spawn.Pipe()
            context = Context(1, 100 + number, node_config, RecordDict(), {})
            process = spawn.Process(target=_serve, args=(theirs, context), daemon=True)
            process.start()
            self._sites[100 + number] = process, ours

    def get_node_ids(self):
        return list(self._sites)

    def send_and_receive(self, messages, *, timeout=None):
        sent = list(messages)
        for message in sent:
            message.metadata.__dict__["_message_id"] = uuid.uuid4().hex
            self._sites[message.metadata.dst_node_id][1].send(message)  # all at once: the sites work side by side
        return [self._sites[message.metadata.dst_node_id][1].recv() for message in sent]

    def close(self):
        for process, connection in self._sites.values():
            connection.send(None)
            process.join(timeout=30)


def _serve(connection: Connection, context: Context) -> None:
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, context.node_id
    while (message := connection.recv()) is not None:
        try:
            reply = client_app(message, context)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            reply = Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)
        connection.send(reply)
