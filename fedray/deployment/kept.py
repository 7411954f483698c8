"""A client's state in its site's folder: networks and moments that stay with it outlast its process, round by round.

Flower keeps a client's state in the SuperNode's memory, for one run. An experiment that goes on after its server or a
site had ended is another run of Flower's, at whatever round the server's last checkpoint is of.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, MessageType

from fedray.config import ExperimentConfig
from fedray.federation.checkpoint import load_checkpoint, save_checkpoint
from fedray.federation.messages import CONFIG, ROUND, experiment_of, to_record
from fedray.federation.sites import AGREED, RUN
from fedray.federation.state import FederationState
from fedray.storage import private_folder

STATE = "state"
"""Key of the node configuration: the site's folder for what its client keeps; without it, that ends with a process."""

_LOADED = "loaded"
_AFTER = ("query.sample", "query.judge")
"""Questions of networks as the round that they name has left them; others come before it."""
_ROUND = re.compile(r"round-(\d+)")

Answer = Callable[[Message, Context], Message]


def keeping(message: Message, context: Context, answer: Answer) -> Message:
    """Answer a message with the state that this client had in its round, and keep what it has after training.

    Args:
        message: Any.
        context: Of the client; its state is filled in where a process has begun anew.
        answer: Of the experiment.

    Returns:
        The reply.

    Raises:
        DamagedError: A state that was kept is not what was written.
        OSError: It cannot be kept: the disk is full, say. Nothing is then replied.
    """
    agreed, header = (message.content.config_records.get(name, ConfigRecord()) for name in (AGREED, CONFIG))
    run, round_index = str(agreed.get(RUN, "")), header.get(ROUND)
    if STATE not in context.node_config or not run or not isinstance(round_index, int):
        return answer(message, context)
    folder, kind = Path(str(context.node_config[STATE])) / run, message.metadata.message_type
    if _LOADED not in context.state:
        _load(folder, context, round_index if kind in _AFTER else round_index - 1)
        context.state[_LOADED] = ConfigRecord({RUN: run})
    reply = answer(message, context)
    if kind == MessageType.TRAIN and not reply.has_error() and context.state.array_records:
        _keep(folder, context, round_index, experiment_of(message))
    return reply


def _load(folder: Path, context: Context, last: int) -> None:
    """Take up the newest state of no later round than ``last``, if there is one."""
    if (newest := max((found for found in _rounds(folder) if found <= last), default=None)) is None:
        return
    for name, record in load_checkpoint(_path(folder, newest)).client_states[0].items():
        context.state[name] = record


def _keep(folder: Path, context: Context, round_index: int, config: ExperimentConfig) -> None:
    """Write the state of a round; those go that no server would ask for any more: it has a checkpoint after them."""
    private_folder(folder.parent)
    private_folder(folder)
    save_checkpoint(_path(folder, round_index), FederationState(to_record({}), round_index), {0: context.state})
    every = config.federation.checkpoint_every
    safe = (round_index - 1) // every * every  # the server may have died before it wrote that of this round
    oldest = max((found for found in _rounds(folder) if found <= safe), default=0)
    for found in _rounds(folder):
        if found < oldest or found > round_index:
            shutil.rmtree(_path(folder, found), ignore_errors=True)


def _rounds(folder: Path) -> list[int]:
    return [int(found[1]) for path in folder.glob("round-*") if (found := _ROUND.fullmatch(path.name))]


def _path(folder: Path, round_index: int) -> Path:
    return folder / f"round-{round_index:05d}"
