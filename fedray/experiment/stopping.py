"""When an experiment is done: after all its rounds, or when held-back tiles have lost their patience."""

from collections.abc import Callable

from fedray.config import ExperimentConfig
from fedray.experiment.evaluate import Evaluation
from fedray.federation import FederationState, shared_arrays, to_record
from fedray.tasks.classification.validation import best_evaluation, out_of_patience


def is_done(config: ExperimentConfig, state: FederationState) -> bool:
    """Say whether no round is left."""
    patience = config.classification.patience if config.task == "classification" else None
    return state.round_index >= config.federation.num_rounds or out_of_patience(state.validation, patience)


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
