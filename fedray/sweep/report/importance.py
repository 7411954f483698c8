"""How much each searched value mattered: fANOVA and PED-ANOVA by Optuna, how far they scatter, what chance reaches.

Few trials say little, and an importance alone does not say how little. So each stands beside two other numbers: the
interval over draws of the same trials with replacement (a bootstrap), and what the method finds where the scores were
dealt to the trials at random, so that nothing can have mattered.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from fedray.randomness import derive_seed, stream
from fedray.sweep.by_round import scores_by_round

FANOVA, PED_ANOVA = "fANOVA", "PED-ANOVA"

FEWEST = 5
"""Trials below which no importance is computed."""
DRAWS = 40
"""Times that the trials are drawn again, and that the scores are dealt at random."""
INTERVAL = (5.0, 95.0)
"""Percentiles of draws: an importance's interval; the upper one, of dealt scores, is what chance reaches."""
TREES, CHANCE_TREES = 64, 8
"""Of a forest; of one for scores that were dealt at random, which scatters more, so that chance is not made small."""
_BEST, _FEWEST_BEST = 0.1, 5  # PED-ANOVA's share by default, and the number of trials that Optuna's page asks for

COLUMNS = ("trials", "round", "method", "parameter", "importance", "low", "high", "chance")


@dataclass(frozen=True)
class Compared:
    """Trials whose scores compare: those of one number of rounds.

    Attributes:
        round_index: After how many rounds; None: after all of them, the score that the sweep ranks by.
        trials: As many as there are scores.
        scores: Of the trials, in the goal's own direction.
        mode: Whether ``min`` or ``max`` is good.
    """

    round_index: int | None
    trials: Sequence[FrozenTrial]
    scores: Sequence[float]
    mode: str

    @property
    def costs(self) -> NDArray[np.float64]:
        """The scores, the lower the better; float64 [trial]."""
        return np.asarray(self.scores, np.float64) * (1.0 if self.mode == "min" else -1.0)

    @property
    def words(self) -> str:
        """Say which scores they are."""
        return "the final score" if self.round_index is None else f"the score after round {self.round_index}"


def compared(study: optuna.Study) -> list[Compared]:
    """Say which trials of a study compare, those that say most first.

    Trials that ran all their rounds do. Early stopping leaves the better ones of them, so that what made the others
    bad is not seen among them: where trials were stopped, the scores of the last round that all of them reached compare
    too.
    """
    mode = "min" if study.directions[0] == optuna.study.StudyDirection.MINIMIZE else "max"
    trials = study.get_trials(deepcopy=False)
    whole = [trial for trial in trials if trial.state is TrialState.COMPLETE and trial.values]
    found = [Compared(None, whole, [trial.values[0] for trial in whole if trial.values], mode)]
    stopped = [trial for trial in trials if trial.state is TrialState.PRUNED and scores_by_round(trial)]
    if stopped:
        scored = [trial for trial in (*whole, *stopped) if scores_by_round(trial)]
        if shared := set.intersection(*(set(scores_by_round(trial)) for trial in scored)):
            scores = [scores_by_round(trial)[max(shared)] for trial in scored]
            found.append(Compared(max(shared), scored, scores, mode))
    return sorted(found, key=lambda some: -len(some.trials))


def importances(of: Compared, seed: int, draws: int = DRAWS) -> pd.DataFrame:
    """Say how much each searched value mattered among trials that compare.

    fANOVA (Hutter et al. 2014): the share of the score's variance over the whole search space that a value explains by
    itself, by a random forest of the trials; what is missing to 1 is the interplay of values, and it is about bad
    trials as much as about good ones. Its interval is over single trees, each grown on a draw of the trials.

    PED-ANOVA (Watanabe et al. 2023, Optuna's default since 5): how far the values of the best trials
    (:func:`num_best`) differ from those of all, as shares of 1. Chance is in the unit of the trials as they are, and
    may reach beyond 1.

    Both take a value on the scale that it is searched on: Optuna's fANOVA by itself would weigh a learning rate on a
    linear one.

    Args:
        of: The trials.
        seed: Of the forests and the draws.
        draws: Times that the trials are drawn again, and that the scores are dealt at random, >= 1.

    Returns:
        A row a method and parameter, the most important first: trials (how many), round (0: all), method, parameter,
        importance, low and high (:data:`INTERVAL` of the draws), chance (its upper end where scores were dealt at
        random, for each parameter by itself). No rows of fewer than :data:`FEWEST` trials, or where all score alike.
    """
    if len(of.trials) < FEWEST or np.ptp(of.costs) == 0.0:
        return pd.DataFrame(columns=list(COLUMNS))
    scaled, random, rows = list(_on_their_scales(of.trials)), stream(seed, "importance"), list[dict[str, Any]]()
    for name, method in METHODS.items():
        found = method.measure(scaled, of.costs, derive_seed(seed, name))
        again = [method.again(scaled, of.costs, derive_seed(seed, name, "again", i)) for i in range(draws)]
        dealt = [method.quickly(scaled, random.permutation(of.costs), derive_seed(seed, name, i)) for i in range(draws)]
        unit = method.unit(found)
        for parameter, importance in sorted(found.items(), key=lambda entry: -entry[1]):
            low, high = np.nanpercentile([each.get(parameter, np.nan) / method.unit(each) for each in again], INTERVAL)
            chance = np.nanpercentile([each.get(parameter, np.nan) / unit for each in dealt], INTERVAL[1])
            rows.append({
                "trials": len(of.trials), "round": of.round_index or 0, "method": name, "parameter": parameter,
                "importance": importance / unit, "low": low, "high": high, "chance": chance,
            })  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def num_best(num_trials: int) -> int:
    """Say how many of so many trials PED-ANOVA takes for the best: a tenth, and at least five, or half where that is
    less.
    """  # noqa: D205
    return math.ceil(num_trials * _share_of_best(num_trials))


def _share_of_best(num_trials: int) -> float:
    return min(0.5, max(_BEST, _FEWEST_BEST / num_trials))


Scaled = tuple[Mapping[str, Any], Mapping[str, BaseDistribution]]
"""Values of a trial and their ranges, by parameter."""
Costs = NDArray[np.float64]
"""Scores, the lower the better."""


def _fanova(trials: Sequence[Scaled], costs: Costs, seed: int, *, trees: int = TREES) -> dict[str, float]:
    from optuna.importance import FanovaImportanceEvaluator  # here: a second, of scikit-learn

    return _evaluated(FanovaImportanceEvaluator(n_trees=trees, seed=seed % 2**32), trials, costs)


def _tree(trials: Sequence[Scaled], costs: Costs, seed: int) -> dict[str, float]:
    """Measure by one tree, grown on a draw of the trials with replacement, as those of a forest are."""
    try:
        return _fanova(trials, costs, seed, trees=1)
    except RuntimeError:  # a draw of trials that all score alike
        return {}


def _ped_anova(trials: Sequence[Scaled], costs: Costs, seed: int) -> dict[str, float]:
    from optuna.importance import PedAnovaImportanceEvaluator

    return _evaluated(PedAnovaImportanceEvaluator(target_quantile=_share_of_best(len(trials))), trials, costs)


def _drawn_again(trials: Sequence[Scaled], costs: Costs, seed: int) -> dict[str, float]:
    """Measure a draw of the trials with replacement."""
    places = stream(seed).integers(0, len(trials), len(trials))
    return _ped_anova([trials[place] for place in places], costs[places], seed)


Measure = Callable[[Sequence[Scaled], Costs, int], dict[str, float]]
"""Trials, their scores and a seed in; importance by parameter out."""


class Method(NamedTuple):
    """A way to measure importance."""

    measure: Measure
    again: Measure
    """The same, over a draw of the trials."""
    quickly: Measure
    """The same, for scores that were dealt at random."""
    unit: Callable[[Mapping[str, float]], float]
    """What importances are divided by."""


METHODS = {
    FANOVA: Method(_fanova, _tree, partial(_fanova, trees=CHANCE_TREES), unit=lambda found: 1.0),
    PED_ANOVA: Method(_ped_anova, _drawn_again, _ped_anova, unit=lambda found: sum(found.values()) or 1.0),
}
"""By name."""


def _evaluated(evaluator: Any, trials: Sequence[Scaled], costs: Costs) -> dict[str, float]:
    from optuna.importance import get_param_importances

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize")
    study.add_trials(
        create_trial(value=float(cost), params=dict(params), distributions=dict(ranges))
        for (params, ranges), cost in zip(trials, costs, strict=True)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an experimental argument, and of values that few trials have
        return get_param_importances(study, evaluator=evaluator, normalize=False)


def _on_their_scales(trials: Sequence[FrozenTrial]) -> Iterator[Scaled]:
    """Put values on the scales that they are searched on, in one range each, wherever ranges changed on the way."""
    names = dict.fromkeys(name for trial in trials for name in trial.distributions)
    ranges = {name: _range([t.distributions[name] for t in trials if name in t.distributions]) for name in names}
    for trial in trials:
        params = {name: _scaled(value, trial.distributions[name]) for name, value in trial.params.items()}
        yield params, {name: ranges[name] for name in params}


def _range(ranges: Sequence[BaseDistribution]) -> BaseDistribution:
    first = ranges[0]
    if isinstance(first, CategoricalDistribution):
        choices = [choice for each in ranges for choice in getattr(each, "choices", ())]
        return CategoricalDistribution(tuple(dict.fromkeys(choices)))
    numbers = [each for each in ranges if isinstance(each, FloatDistribution | IntDistribution)]
    low, high = min(each.low for each in numbers), max(each.high for each in numbers)
    if isinstance(first, IntDistribution) and not first.log:
        return IntDistribution(int(low), int(high))
    return FloatDistribution(_scaled(low, first), _scaled(high, first))


def _scaled(value: Any, within: BaseDistribution) -> Any:
    return math.log10(value) if getattr(within, "log", False) else value
