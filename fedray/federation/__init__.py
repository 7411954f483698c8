"""The Flower side of an experiment: the ClientApp, the strategies, the rounds and their loop, its checkpoints."""

from fedray.federation.account import Account, Releases, epsilon_of
from fedray.federation.asking import logits_from_clients, sample_from_clients
from fedray.federation.checkpoint import (
    SERVER_FILES,
    is_server_alone,
    keep_newest,
    keep_server_alone,
    latest_round,
    load_checkpoint,
    load_round,
    load_server,
    save_checkpoint,
    save_round,
)
from fedray.federation.client import JUDGED_STORES, client_app, client_steps
from fedray.federation.divergence import check_convergence
from fedray.federation.failures import FederationError
from fedray.federation.loop import federate, initial_state
from fedray.federation.messages import to_record
from fedray.federation.sites import AgreedGrid, ask_sites
from fedray.federation.state import FederationState, RoundReport, shared_arrays
from fedray.federation.strategies import TooFewRepliesError, client_half, make_strategy
from fedray.learning import DivergedError

__all__ = [
    "JUDGED_STORES",
    "SERVER_FILES",
    "Account",
    "AgreedGrid",
    "DivergedError",
    "FederationError",
    "FederationState",
    "Releases",
    "RoundReport",
    "TooFewRepliesError",
    "ask_sites",
    "check_convergence",
    "client_app",
    "client_half",
    "client_steps",
    "epsilon_of",
    "federate",
    "initial_state",
    "is_server_alone",
    "keep_newest",
    "keep_server_alone",
    "latest_round",
    "load_checkpoint",
    "load_round",
    "load_server",
    "logits_from_clients",
    "make_strategy",
    "sample_from_clients",
    "save_checkpoint",
    "save_round",
    "shared_arrays",
    "to_record",
]
