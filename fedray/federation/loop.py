"""The round loop: a generator that can stop and resume at any round, whatever a round is."""

from collections.abc import Iterator

from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedray.config import ExperimentConfig
from fedray.data import Census, TileShape
from fedray.federation.account import Account
from fedray.federation.messages import to_record
from fedray.federation.rounds import round_of
from fedray.federation.state import FederationState, RoundReport
from fedray.tasks import shared_parts, task_of


def initial_state(config: ExperimentConfig, shape: TileShape) -> FederationState:
    """Draw the shared parts that round 1 starts from, for tiles of a shape."""
    learner = task_of(config).fresh(config, shape, "cpu")  # the driver may have no GPU
    return FederationState(to_record(learner.arrays(shared_parts(config))))


def federate(
    strategy: Strategy,
    grid: Grid,
    state: FederationState,
    config: ExperimentConfig,
    census: Census,
    account: Account | None = None,
) -> Iterator[RoundReport]:
    """Run the rounds that are left, and report each one. ``state`` is advanced in place before its round is reported.

    Args:
        strategy: How messages are made and replies aggregated.
        grid: Where the clients are.
        state: Where to begin.
        config: Of the experiment.
        census: Of the clients' tiles.
        account: Of what it releases under differential privacy; unset: it begins here.

    Raises:
        FederationError: More than ``federation.max_failed_share`` of a round's clients failed.
        DivergedError: A loss, a weight or a moment is not finite, or a loss exceeds
            :data:`fedray.federation.divergence.LOSS_LIMIT`. ``state`` stays as it was before that round.
    """
    account = account or Account()
    if config.privacy.on:
        account.count_at_least(config.privacy.noise_multiplier, state.round_index)
    step = round_of(config).begin(config, census, state, strategy, account)
    while state.round_index < config.federation.num_rounds:
        yield step(grid, state, config)
