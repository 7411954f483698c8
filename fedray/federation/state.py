"""What a federation knows between two rounds, and what is said of a round."""

from dataclasses import dataclass, field

from flwr.app import ArrayRecord

from fedray.federation.messages import from_record
from fedray.learning import Arrays


@dataclass
class FederationState:
    """What the server knows between two rounds; with the clients' own states, all that a resumed run needs."""

    arrays: ArrayRecord
    """What the server has of the networks, by name."""
    round_index: int = 0
    """Rounds done."""
    optimizer: Arrays = field(default_factory=dict)
    """What the server's half of the strategy keeps, such as moments of its optimiser; empty where it keeps nothing."""
    validation: list[float] = field(default_factory=list)
    """Validation losses of the evaluations so far, where tiles are held back."""
    best: Arrays = field(default_factory=dict)
    """The networks of the smallest of them; empty where there is none."""
    told: Arrays = field(default_factory=dict)
    """What clients said once and a round goes on with; empty where nothing was asked."""


@dataclass(frozen=True)
class RoundReport:
    """What one round did."""

    round_index: int
    """1 for the first round."""
    losses: dict[str, float]
    """Means over clients and steps, named ``NETWORK/*``; none under differential privacy."""
    counts: dict[str, float]
    """``num-examples`` and ``NETWORK-steps`` over all clients of the round, or the server's steps of a network that it
    alone has; none under differential privacy."""
    num_clients: int
    """Clients whose replies were aggregated."""
    num_failed: int
    """Clients that failed or did not answer in time."""
    duration_s: float
    """Wall time of the round in seconds, without evaluation."""
    times: dict[str, float]
    """Parts of ``duration_s`` in seconds: ``aggregation``, and ``dispatch``, ``compute``, ``merge`` and ``transfer``
    (see :class:`fedray.simulation.RoundTiming`) where the grid measures them; ``compute`` and ``merge`` are sums over
    the workers."""
    utilisation: float | None
    """Share of the workers' time spent on clients, from 0 to 1; None where the grid does not measure it."""
    epsilon: float | None = None
    """Privacy spent until now at ``privacy.delta``, this round included; None without differential privacy."""
    figures: dict[str, float] = field(default_factory=dict)
    """What else there is to say of it, by the names under which it is logged: what a distribution of tiles cost."""


def shared_arrays(state: FederationState) -> Arrays:
    """Unwrap the state's arrays."""
    return from_record(state.arrays)
