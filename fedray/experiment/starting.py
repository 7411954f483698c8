"""Where round 1 begins: with networks as they were drawn, or with those that another run or a file has."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from fedray.config import ExperimentConfig, flatten
from fedray.data import Census, TileShape, TileStore, store_shape
from fedray.federation import FederationState, initial_state, shared_arrays, to_record
from fedray.learning import Arrays
from fedray.results.basis import ShownTiles
from fedray.results.finished import Finished
from fedray.results.start import DOMAINS, LABELS, Start, StartError, opened_start
from fedray.tasks import task_of
from fedray.tasks.codes import Kind, axes_of, reordered

_MOST_TOLD = 20
"""Arrays that differ and are told; of a network of another width all do."""


class KnownTiles(Protocol):
    """What is known of an experiment's tiles."""

    @property
    def shape(self) -> TileShape:
        """What they have in common."""
        ...

    @property
    def label_names(self) -> tuple[str, ...]:
        """In the order of their codes."""
        ...

    @property
    def domain_names(self) -> tuple[str, ...]:
        """In the order of their codes."""
        ...


def first_state(config: ExperimentConfig, census: Census, start: Start | None = None) -> FederationState:
    """Return the state before round 1.

    Args:
        config: Of the experiment, with all that was unset filled in.
        census: Of the clients' tiles.
        start: What ``starts_from`` names, where it is open already; unset: it is opened here.

    Raises:
        StartError: It does not fit. Others as of :meth:`fedray.results.start.Start.open`.
    """
    state = initial_state(config, census.shape)
    start = start or opened_start(config.starts_from)
    if start is None:
        return state
    return FederationState(to_record(fitted(start, config, census, shared_arrays(state))))


def check_start(config: ExperimentConfig, store: TileStore, start: Start | None = None) -> None:
    """Refuse what an experiment cannot start from; starts nothing.

    Args:
        config: Of the experiment, with all that was unset filled in.
        store: Its tiles.
        start: As of :func:`first_state`.

    Raises:
        StartError: It does not fit, or an account of differential privacy would promise what does not hold. Others as
            of :meth:`fedray.results.start.Start.open`.
    """
    start = start or opened_start(config.starts_from)
    if start is None:
        return
    fitted(start, config, ShownTiles.of(store), shared_arrays(initial_state(config, store_shape(store))))
    if (
        config.privacy.on
        and start.run is not None
        and not start.run.config.privacy.on
        and same_store(start.run, config, store)
    ):
        raise StartError(
            f"starts_from {start.place} learned from tiles of this store without differential privacy, so no noise of "
            "privacy.noise_multiplier protects whose they are any more; start from a run with privacy, or from one on "
            "tiles of others"
        )


def start_tags(start: Start | None) -> dict[str, str]:
    """Tag runs with what they start from: the id of its run, by which MLflow finds it, or the name of a file."""
    if start is None:
        return {}
    return {"fedray.starts-from": start.run.run_id if start.run else start.place}


def same_store(run: Finished, config: ExperimentConfig, store: TileStore) -> bool:
    """Say whether a run learned from tiles of an experiment's store, without one of its domains or with it."""
    return run.tiles.fingerprint == store.fingerprint or run.config.data.store == config.data.store


def fitted(start: Start, config: ExperimentConfig, tiles: KnownTiles, drawn: Arrays) -> Arrays:
    """Take of a start what travels in an experiment, with the entries of labels and domains in its order.

    Args:
        start: The networks.
        config: Of the experiment.
        tiles: Its own.
        drawn: Arrays that travel in it, as they were drawn: their names, shapes and number formats are asked for.

    Returns:
        As many arrays under the same names, in the same order.

    Raises:
        StartError: It is of another task, or has no common network; otherwise the message lists all differences.
    """
    _check_run(start, config)
    named = [
        _Names("num_labels", LABELS, start.label_names, tiles.label_names),
        _Names("num_domains", DOMAINS, start.domain_names, tiles.domain_names),
    ]
    problems = [
        *_size_problems(start, tiles.shape),
        *(problem for names in named for problem in names.problems(config, tiles.shape)),
        *_array_problems(start, config, drawn),
    ]
    if problems:
        listed = "".join(f"\n  - {problem}" for problem in problems)
        raise StartError(f"starts_from {start.place} does not go with this experiment:{listed}")
    taken = {name: start.arrays[name] for name in drawn}
    for names in named:
        taken = names.in_our_order(taken, config, tiles.shape)
    return taken


class _Names(NamedTuple):
    """What a start and an experiment call labels, or domains, in the order of their entries."""

    kind: Kind
    what: str
    theirs: tuple[str, ...] | None
    ours: tuple[str, ...]

    def problems(self, config: ExperimentConfig, shape: TileShape) -> Iterator[str]:
        """Say what does not go together; nothing where the networks do not know them."""
        same = self.theirs is not None and set(self.theirs) == set(self.ours)
        if same or not self._axes(config, shape):
            return
        ours = ", ".join(map(repr, self.ours))
        if self.theirs is None:
            yield (
                f"it does not say which {self.what} its entries are of: put their names in its metadata, under "
                f"{self.what!r} as a JSON list (here they are {ours}), or give the run itself"
            )
        else:
            yield f"its {self.what} are {', '.join(map(repr, self.theirs))}, and here they are {ours}"

    def in_our_order(self, arrays: Arrays, config: ExperimentConfig, shape: TileShape) -> Arrays:
        """Put the entries of arrays that fit in the order of the experiment's codes."""
        if self.theirs == self.ours or not (axes := self._axes(config, shape)):
            return arrays
        assert self.theirs is not None, "without names, networks that know them are refused"
        return reordered(arrays, axes, [self.theirs.index(name) for name in self.ours])

    def _axes(self, config: ExperimentConfig, shape: TileShape) -> dict[str, int]:
        # With one domain networks have no entry for it; with several, on either side, they do.
        most = max(len(self.ours), len(self.theirs or ()))
        return axes_of(task_of(config), config, shape._replace(**{self.kind: most}), self.kind)


def _check_run(start: Start, config: ExperimentConfig) -> None:
    """Refuse a run of another task, or one whose clients ended with a network each."""
    if start.run is None:
        return
    theirs = start.run.config
    if theirs.task != config.task:
        raise StartError(
            f"starts_from {start.place} is of task {theirs.task!r}, but task is {config.task!r}; give a run of the same"
        )
    if theirs.federation.personal:
        raise StartError(
            f"starts_from {start.place} is of federation.strategy {theirs.federation.strategy!r}, where every client "
            "ends with a network of its own and the server has no whole one; give a run of 'fedavg', say"
        )


def _size_problems(start: Start, shape: TileShape) -> Iterator[str]:
    if start.run is None:
        return
    theirs = start.run.tiles
    if (theirs.size, theirs.channels) != (shape.size, shape.channels):
        yield (
            f"it learned from tiles of {theirs.size} px with {theirs.channels} channel(s), and these have {shape.size} "
            f"px with {shape.channels}"
        )


def _array_problems(start: Start, config: ExperimentConfig, drawn: Arrays) -> Iterator[str]:
    """Say which parts are missing, which arrays differ, and what was configured otherwise."""
    theirs, ours = ({name.partition(".")[0]: None for name in arrays} for arrays in (start.arrays, drawn))
    for part in ours:
        if part not in theirs:
            yield (
                f"it has no {part}, which travels here (there: {', '.join(theirs) or 'nothing'}; federation.mode and "
                "federation.aggregate say what does)"
            )
    names = dict.fromkeys([*drawn, *start.arrays])
    both = [name for name in names if (part := name.partition(".")[0]) in ours and part in theirs]
    shown = {name: (_build(start.arrays, name), _build(drawn, name)) for name in both}
    differ = [f"{name}: {there} there, {here} here" for name, (there, here) in shown.items() if there != here]
    if not differ:
        return
    yield from differ[:_MOST_TOLD]
    if differ[_MOST_TOLD:]:
        yield f"and {len(differ) - _MOST_TOLD} more of {len(both)} arrays"
    if start.run is not None and (fields := _other_fields(start.run.config, config)):
        yield f"configured otherwise: {', '.join(fields)}"


def _build(arrays: Arrays, name: str) -> str:
    return f"{arrays[name].dtype} {list(arrays[name].shape)}" if name in arrays else "none"


def _other_fields(theirs: ExperimentConfig, ours: ExperimentConfig) -> list[str]:
    there, here = (flatten(config.family.model_dump(mode="json")) for config in (theirs, ours))
    return [
        f"{ours.task}.{name} {there.get(name)!r} there, {value!r} here"
        for name, value in here.items()
        if there.get(name) != value
    ]
