"""When an experiment is done: after all its rounds, or when held-back tiles have lost their patience."""

from collections.abc import Callable, Sequence

import numpy as np

from fedray.config import SITES, ExperimentConfig
from fedray.experiment.judging import Evaluation
from fedray.federation import FederationState, shared_arrays, to_record


def is_done(config: ExperimentConfig, state: FederationState) -> bool:
    """Say whether no round is left."""
    all_done = state.round_index >= config.federation.num_rounds
    return all_done or out_of_patience(state.validation, config.family.stops_after)


def is_due(config: ExperimentConfig, state: FederationState) -> bool:
    """Say whether the last round is one that is evaluated: none is where only the clients have real tiles."""
    if config.data.store == SITES:
        return False
    return is_done(config, state) or state.round_index % config.evaluation.every == 0


def with_validation(
    config: ExperimentConfig, state: FederationState, evaluation: Evaluation, evaluate: Callable[[], Evaluation]
) -> Evaluation:
    """Note a round's validation loss; where no round is left, put the networks of the smallest in the state.

    Args:
        config: Of the experiment.
        state: After the round; changed in place.
        evaluation: Of the round.
        evaluate: Judges what is in the state.

    Returns:
        The evaluation of what is in the state now.
    """
    if evaluation.validation is None:
        return evaluation
    state.validation.append(evaluation.validation)
    if best_evaluation(state.validation) == len(state.validation) - 1:
        state.best = shared_arrays(state)
        return evaluation
    if not is_done(config, state):
        return evaluation
    state.arrays = to_record(state.best)
    return evaluate()


def best_evaluation(losses: Sequence[float]) -> int:
    """Position of the smallest validation loss, the first of equals."""
    return int(np.argmin(losses))


def out_of_patience(losses: Sequence[float], patience: int | None) -> bool:
    """Whether so many evaluations in a row, the last ones, had no smaller validation loss than one before them."""
    return patience is not None and len(losses) > 0 and len(losses) - 1 - best_evaluation(losses) >= patience
