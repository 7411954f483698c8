"""Scores of the first goal by the round, as a study keeps them: Optuna has intermediate values of one goal alone."""

from optuna.trial import FrozenTrial, Trial

_KEY = "scores-by-round"


def report_score(trial: Trial, score: float, round_index: int) -> None:
    """Tell a study a trial's score after a round.

    Args:
        trial: Of the study.
        score: Of the first goal.
        round_index: From 1.
    """
    if len(trial.study.directions) == 1:
        trial.report(score, round_index)
    else:
        trial.set_user_attr(_KEY, {**trial.user_attrs.get(_KEY, {}), round_index: score})


def scores_by_round(trial: FrozenTrial) -> dict[int, float]:
    """Return what was told of a trial, by the round."""
    told = trial.intermediate_values or trial.user_attrs.get(_KEY, {})
    return {int(round_index): score for round_index, score in told.items()}
