"""What a sweep must be before it starts: all that can be seen of it without starting it."""

from collections.abc import Mapping
from typing import NamedTuple

from fedray.config import ConfigError, EvaluationConfig
from fedray.data import TileStore, absolute_store, local_store
from fedray.evaluation import (
    EvaluationError,
    SelfTest,
    extractor_name,
    is_of_all_tiles,
    mode_of,
    whole_of,
    why_no_score,
)
from fedray.experiment import from_store
from fedray.experiment.judging import judging_of
from fedray.experiment.run import check_config
from fedray.results import Place
from fedray.results.basis import basis_of
from fedray.results.files import RESULTS
from fedray.results.folder import (
    SWEEP,
    check_basis,
    check_folder,
    extend,
    is_started,
    outcome_of,
    saved_as,
)
from fedray.results.start import Start, absolute_start, opened_start, rests_on
from fedray.storage import read_table
from fedray.sweep.dimensions import shown
from fedray.sweep.known import Known, known_trials
from fedray.sweep.results import SweepResult
from fedray.sweep.samplers import SAMPLERS
from fedray.sweep.space import Goal, SearchSpace, load_space
from fedray.sweep.state import check_state


def finished_sweep(space: SearchSpace, out: Place) -> SweepResult | None:
    """Return the result of a sweep that is done, None while there is something left to do; starts nothing.

    Raises:
        ConfigError: Another sweep is done there, or its space was changed since.
    """
    if (outcome := outcome_of(out)) is None:
        return None
    saved = saved_space(out)
    if space != saved:
        space = settle(space)
        if is_extension(space, saved):
            return None
        check_folder(out, SWEEP, space, saved)
    return SweepResult(saved, read_table(out.folder / RESULTS), out.folder, outcome.get("pages", {}))


class Checked(NamedTuple):
    """A sweep that can start, as far as can be seen without starting it."""

    space: SearchSpace
    """With all that the data decide filled in (:func:`settle`)."""
    store: TileStore
    start: Start | None
    """What all its trials start from; None where their networks are drawn."""
    known: Known | None
    """What is known of another sweep's trials; None where it starts from none, or has begun."""


def check_sweep(space: SearchSpace, out: Place) -> Checked:
    """Refuse a sweep that cannot run, or that is not the one that was started in its folder; starts nothing.

    Raises:
        ValueError: The message names the value, the rule and the remedy.
    """
    saved = saved_space(out) if is_started(out, SWEEP) else None
    store = local_store(absolute_store(space.fixed.data))
    check_basis(out, SWEEP, basis_of(space.fixed, store))
    space = settle(space)
    check_folder(out, SWEEP, space, space if saved is not None and is_extension(space, saved) else saved)
    start = opened_start(space.fixed.starts_from)
    check_basis(out, SWEEP, rests_on(start))
    check_space(space, store, start)
    check_state(out)
    basis = {**basis_of(space.fixed, store), **rests_on(start)}
    return Checked(space, store, start, known_trials(space, basis) if saved is None else None)


def is_extension(space: SearchSpace, of: SearchSpace) -> bool:
    """Say whether a space asks for more trials of another one, and for nothing else."""
    return space.num_trials > of.num_trials and space == of.model_copy(update={"num_trials": space.num_trials})


def extend_sweep(out: Place, space: SearchSpace) -> None:
    """Have the sweep that was started in a place go on to as many trials as a space says, where it says more.

    Args:
        out: The place; nobody else is in it.
        space: With all that the data decide filled in.
    """
    if is_started(out, SWEEP) and is_extension(space, saved_space(out)):
        extend(out, SWEEP, space)


def saved_space(out: Place) -> SearchSpace:
    """Read the search space of the sweep that was started in a folder.

    Raises:
        ConfigError: There is none, or it was changed since.
    """
    return saved_as(out, SWEEP, load_space, SearchSpace)


def settle(space: SearchSpace) -> SearchSpace:
    """Fill in what the data decide: full names of scores, and what they say of the fixed configuration.

    A score's name has the number of tiles really compared, which depends on the store: ``kid/efficientnet-lite0``
    becomes ``kid/efficientnet-lite0/256``, and the name of an extractor from a file what scores call it. A name that
    has its number, and one that no evaluation yields, stay as they are.

    Raises:
        ValueError: The data cannot be opened, are too few to compare, or are not as the configuration says.
    """
    fixed = from_store(space.fixed)
    names = judging_of(fixed).score_names(fixed, local_store(fixed.data))
    full = {_without_number(name): name for name in names}

    def settled(metric: str) -> str:
        asked = _by_score_name(metric, space.fixed.evaluation, fixed.evaluation)
        return full.get(asked, asked)

    goals = tuple(goal.model_copy(update={"metric": settled(goal.metric)}) for goal in space.goals)
    constraints = tuple(str(bound._replace(metric=settled(bound.metric))) for bound in space.bounds)
    found = {"fixed": fixed, "goals": goals, "constraints": constraints}
    return space.model_copy(update={**found, "start_from": absolute_start(space.start_from)})


def _without_number(name: str) -> str:
    """Leave the number of tiles out: ``kid/efficientnet-lite0/label/gland``."""
    whole = whole_of(name)
    return whole.rpartition("/")[0] + name.removeprefix(whole)


def _by_score_name(metric: str, said: EvaluationConfig, settled: EvaluationConfig) -> str:
    """Put the extractor's name in scores in the place of what the configuration calls it: ``kid/timm:resnet18``."""
    kind, _, rest = metric.partition("/")
    extractor, slash, more = rest.partition("/")
    return f"{kind}/{extractor_name(settled)}{slash}{more}" if extractor == said.chosen_extractor else metric


def check_space(space: SearchSpace, store: TileStore, start: Start | None = None) -> None:
    """Refuse a space whose objective no evaluation yields, or with a value that no trial can run, fixed or searched.

    Args:
        space: With all that the data decide filled in.
        store: Its tiles.
        start: What ``fixed.starts_from`` names, where it is open already; unset: it is opened for every value.

    Raises:
        ConfigError: The objective is no score of this evaluation (the valid ones are named), its mode asks for the
            worst, or a searched value, a start point or a combination of a grid is impossible; all points that are.
        ValueError: What is fixed is impossible.
    """
    _check_scores(space, store)
    check_config(space.trial_config({}), store, start)
    for path, dimension in space.search.items():
        for value in dimension.examples():
            try:
                check_config(space.trial_config(space.with_value(path, value)), store, start)
            except ValueError as error:
                raise ConfigError(
                    f"{space.name} searches {path}, but at {shown(value)} a trial cannot run: {error}"
                ) from None
    problems = []
    for number, point in enumerate(SAMPLERS[space.sampler].first_points(space)):
        try:
            config = space.trial_config(point)
            if number < _MOST_BUILT:
                check_config(config, store, start)
        except ValueError as error:
            words = ", ".join(f"{path} {shown(value)}" for path, value in point.items())
            what = f"start_points[{number}]" if space.start_points else f"the combination {words}"
            problems.append(f"{what} of {space.name} cannot run: {error}")
    if problems:
        raise ConfigError("; ".join(problems))


_MOST_BUILT = 100
"""Points whose networks are built, to see whether they can be: a fraction of a second each. The configuration's own
rules are held against all points."""


def _check_scores(space: SearchSpace, store: TileStore) -> None:
    asked: list[tuple[str, str, str, str, Mapping[str, str]]] = [
        (f"{where}.metric", goal.metric, f"{where}.mode must be", goal.mode, _MODES) for where, goal in _named(space)
    ]
    for number, bound in enumerate(space.bounds):
        where = f"constraints[{number}]"
        asked.append((where, bound.metric, f"{where} must have", bound.mode, _SIGNS))
    names = [name for name in judging_of(space.fixed).score_names(space.fixed, store) if mode_of(name) is not None]
    problems = []
    for where, metric, rule, mode, words in asked:
        if metric not in names:
            problems.append(_unknown_score(where, metric, names, space, store))
        elif (right := mode_of(metric)) != mode:
            better = {"min": "lower", "max": "higher"}[str(right)]
            problems.append(
                f"{rule} {words[str(right)]} for {metric}, of which {better} is better, but got {words[mode]} "
                f"({space.name})"
            )
    if problems:
        raise ConfigError("; ".join(problems))


def _named(space: SearchSpace) -> list[tuple[str, Goal]]:
    """List the goals with what they are called in the file."""
    single = len(space.goals) == 1
    return [("goal" if single else f"goals[{number}]", goal) for number, goal in enumerate(space.goals)]


_MODES, _SIGNS = {"min": "'min'", "max": "'max'"}, {"min": "<=", "max": ">="}


def _unknown_score(where: str, metric: str, names: list[str], space: SearchSpace, store: TileStore) -> str:
    if reason := why_no_score(metric, space.fixed.evaluation, store):
        return f"{where} {metric} of {space.name} is none of this evaluation's: {reason}"
    of_all = [name for name in names if is_of_all_tiles(name)]
    of_label = next((f", or of one label, such as {name}" for name in names if not is_of_all_tiles(name)), "")
    return f"{where} must be one of {', '.join(of_all)}{of_label}, but got {metric!r} ({space.name})"


def check_goal_means_something(space: SearchSpace, test: SelfTest | None) -> None:
    """Refuse to optimise, or to bound, the score of a label that these features do not tell from the others."""
    asked = {f"{where}.metric": (goal.metric, "optimised") for where, goal in _named(space)}
    asked |= {f"constraints[{number}]": (bound.metric, "bounded") for number, bound in enumerate(space.bounds)}
    for where, (metric, done) in asked.items():
        if test is not None and not test.without_void({metric: 0.0}):
            raise EvaluationError(
                f"{where} {metric} of {space.name} cannot be {done}: permuted labels do not worsen that score, so it "
                f"says nothing about its label; take {whole_of(metric)}, or another evaluation.extractor"
            )
