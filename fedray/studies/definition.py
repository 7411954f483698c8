"""What a study is: experiments, synthetic tiles made in between, and tables of cells times seeds; from YAML."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from fedray.config import (
    TASKS,
    ConfigError,
    ExperimentConfig,
    GateConfig,
    config_paths,
    find_yaml,
    flatten,
    nearest_name,
    nest,
    read_yaml,
)
from fedray.config import validate as validated
from fedray.experiment.controls import ControlName

BudgetName = Literal["small", "paper"]

Value = int | float | str | bool | None
ANY = "*"
"""In a score's name: whatever stands there."""
OWN_PATHS = ("seed", "classification.synthetic", "tracking.run_name")
"""Config paths that a study fills in itself, cell by cell."""


def _by_path(values: Any) -> Any:
    """Take sections or dotted paths, as people like: ``{gan: {n_critic: 2}}`` is ``{gan.n_critic: 2}``."""
    return flatten(values) if isinstance(values, Mapping) else values


Values = Annotated[dict[str, Value], BeforeValidator(_by_path)]
"""Values of an experiment's configuration by config path."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ExperimentEntry(_Strict):
    """One experiment, for every seed."""

    like: str | None = None
    """Experiment that it is like, but for what is said here."""
    synthetic: str | None = None
    """Store of synthetic tiles that a classifier trains on too (``classification.tiles`` says how; unset: both)."""
    set: Values = {}
    """Values of its configuration."""


class StoreEntry(_Strict):
    """Synthetic tiles of an experiment's generator, of each seed those of the run with that seed; or their control."""

    made_by: str | None = None
    """The experiment that trains it."""
    per_label: int | None = Field(None, ge=1)
    """Tiles of each label, >= 1, spread evenly over the domains."""
    gate: GateConfig | None = None
    """Limits of the gate that every pair of a label and a domain must pass, ``{}`` for the usual ones; what does not is
    left out. Unset: nothing is asked."""
    like: str | None = None
    """In the place of these three: the store that this one is a control of, with as many tiles of each pair."""
    control: ControlName | None = None
    """What stands in the place of its tiles: ``noise``, ``shuffled-labels``, ``blurred``, or ``copies`` of real ones
    (:mod:`fedray.experiment.controls`)."""

    @model_validator(mode="after")
    def _made_or_a_control(self) -> Self:
        made, control = (self.made_by, self.per_label), (self.like, self.control)
        for whole, other in ((made, (*control,)), (control, (*made, self.gate))):
            if None not in whole and other.count(None) == len(other):
                return self
        raise ValueError("a store has made_by and per_label, and perhaps a gate; or like and control, and nothing else")


class Row(_Strict):
    """A row of a table: a cell for each seed."""

    name: str = Field(min_length=1)
    experiment: str | None = None
    """The experiment whose scores stand in it."""
    trivial: str | None = None
    """In its place: the experiment beside whose scores stand those of who always answers the majority label (or, of
    generators, what real tiles score)."""
    judged: str | None = None
    """In its place: the experiment whose tiles the reports judge: ``memorisation``, ``collapse``, ``label-similarity``
    are 1 where a report speaks against them, so that the mean is the share of seeds in which it does."""
    against: str | None = None
    """Row that it is held against; unset: the table's baseline."""
    published: dict[str, float] = {}
    """Figures of a paper, by score."""
    synthetic: bool = False
    """Whether the table's closing sentence counts it: it claims that synthetic tiles help."""

    @property
    def source(self) -> str:
        """The experiment that it needs."""
        return str(self.experiment or self.trivial or self.judged)


class Table(_Strict):
    """Rows by scores."""

    name: str = Field(min_length=1)
    about: str = ""
    """What it shows, and what is to be known of it: printed above it."""
    scores: list[str] = Field(min_length=1)
    """Scores by the beginnings of their names, the leading one first: ``balanced-accuracy``, ``fid``. ``*`` stands for
    all that there are, if any: ``balanced-accuracy/domain/*``, ``recall/label/*/domain/*``, ``macro-f1/external*``."""
    baseline: str | None = None
    """Row that others are held against, unless they name another."""
    rows: list[Row] = Field(min_length=1)


class Budget(_Strict):
    """What changes with the effort."""

    seeds: list[int] | None = None
    """Seeds; unset: the study's."""
    set: Values = {}
    """Values of all experiments, in the place of ``common``'s."""
    experiments: dict[str, Values] = {}
    """Values of single experiments, and of those that are like them."""
    stores: dict[str, int] = {}
    """Tiles of each label, by store."""
    gates: dict[str, GateConfig] = {}
    """Limits of its gate, by store that has one."""
    stand_ins: dict[str, dict[str, str]] = {}
    """By config path: what stands for what. Tables name both."""


class Study(_Strict):
    """Experiments made of experiments, and the tables that come of them."""

    name: str = Field(pattern=r"^[\w.-]+$")
    """Of the study: letters, digits, ``_``, ``-`` and dots."""
    about: str = ""
    """What it asks: printed above the tables."""
    seeds: list[int] = Field([0, 1, 2], min_length=1)
    """Seeds of every cell; means and intervals are over them."""
    common: Values = {}
    """Values of all experiments; those in the section of a task are for experiments of that task."""
    experiments: dict[str, ExperimentEntry] = Field(min_length=1)
    stores: dict[str, StoreEntry] = {}
    tables: list[Table] = Field(min_length=1)
    budgets: dict[BudgetName, Budget] = {}
    budget: BudgetName = "small"
    """The budget that is run unless the command line names another."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if problems := [*self._name_problems(), *self._path_problems(), *self._table_problems()]:
            raise ValueError("; ".join(problems))
        return self

    def _name_problems(self) -> Iterator[str]:
        for name, entry in self.experiments.items():
            yield from _unknown(f"experiments.{name}.like", entry.like, self.experiments)
            yield from _unknown(f"experiments.{name}.synthetic", entry.synthetic, self.stores)
        for name, store in self.stores.items():
            yield from _unknown(f"stores.{name}.made_by", store.made_by, self.experiments)
            made = [other for other, entry in self.stores.items() if entry.like is None]
            yield from _unknown(f"stores.{name}.like", store.like, made)
        for budget, changes in self.budgets.items():
            for name in changes.experiments:
                yield from _unknown(f"budgets.{budget}.experiments", name, self.experiments)
            for name in changes.stores:
                made = [store for store, entry in self.stores.items() if entry.like is None]
                yield from _unknown(f"budgets.{budget}.stores", name, made)
            gated = [store for store, entry in self.stores.items() if entry.gate is not None]
            for name in changes.gates:
                yield from _unknown(f"budgets.{budget}.gates", name, gated)
        seeds = [("seeds", self.seeds), *((f"budgets.{name}.seeds", each.seeds) for name, each in self.budgets.items())]
        for where, given in seeds:
            if given is not None and (not given or len(set(given)) < len(given) or min(given) < 0):
                yield f"{where} must be different numbers >= 0, at least one, but got {given}"
        for name in self.experiments:
            if len(set(chain := self._chain(name))) < len(chain):
                yield f"experiments.{name} is like itself: {' -> '.join(chain)}"

    def _path_problems(self) -> Iterator[str]:
        known = config_paths()
        given: list[tuple[str, Mapping[str, Any]]] = [("common", self.common)]
        given += [(f"experiments.{name}.set", entry.set) for name, entry in self.experiments.items()]
        for budget, changes in self.budgets.items():
            given += [(f"budgets.{budget}.set", changes.set), (f"budgets.{budget}.stand_ins", changes.stand_ins)]
            given += [(f"budgets.{budget}.experiments.{name}", own) for name, own in changes.experiments.items()]
        for where, values in given:
            for path in values:
                if path not in known:
                    yield f"{where}: {path} is no config path{nearest_name(path, known)}"
                elif path in OWN_PATHS:
                    yield f"{where}: {path} is the study's own to fill in; leave it out"

    def _table_problems(self) -> Iterator[str]:
        for table in self.tables:
            names = [row.name for row in table.rows]
            where = f"table {table.name!r}"
            if repeated := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
                yield f"{where} has the row {repeated[0]!r} twice; give each a name of its own"
            if ANY in table.scores[0]:
                yield f"{where} leads with {table.scores[0]!r}, which may be several scores or none; name one first"
            yield from _unknown(f"{where}, baseline", table.baseline, names)
            for row in table.rows:
                its = f"{where}, row {row.name!r}"
                if [row.experiment, row.trivial, row.judged].count(None) != 2:
                    yield f"{its} needs one of experiment, trivial and judged"
                yield from _unknown(its, row.experiment or row.trivial or row.judged, self.experiments)
                yield from _unknown(f"{its}, against", row.against, names)
                for score in row.published:
                    yield from _unknown(f"{its}, published", score, table.scores)
        if len({table.name for table in self.tables}) < len(self.tables):
            yield "two tables have one name; give each its own"

    def _chain(self, name: str) -> list[str]:
        """Return an experiment and those that it is like, up to the first that comes again."""
        chain = [name]
        while (like := self.experiments[chain[-1]].like) in self.experiments:
            chain.append(str(like))
            if chain.count(chain[-1]) > 1:
                break
        return chain

    @property
    def effort(self) -> Budget:
        """What the budget changes; nothing where the study does not say."""
        return self.budgets.get(self.budget, Budget())

    @property
    def all_seeds(self) -> Sequence[int]:
        """Seeds of every cell."""
        return self.effort.seeds or self.seeds

    def store_of(self, experiment: str) -> str | None:
        """Return the store of synthetic tiles of an experiment, its own or that of what it is like."""
        return next((store for name in self._chain(experiment) if (store := self.experiments[name].synthetic)), None)

    def made_store(self, store: str) -> tuple[str, StoreEntry]:
        """Return the store whose tiles a generator made, of which this one may be a control: its name and its entry."""
        name = self.stores[store].like or store
        return name, self.stores[name]

    def gate(self, store: str) -> GateConfig | None:
        """Return the limits that the cells of a store must pass; None where nothing is asked."""
        name, entry = self.made_store(store)
        return self.effort.gates.get(name, entry.gate)

    def per_label(self, store: str) -> int:
        """Return how many tiles of each label a store has."""
        name, entry = self.made_store(store)
        assert entry.per_label is not None
        return self.effort.stores.get(name, entry.per_label)

    def values(self, experiment: str) -> dict[str, Value]:
        """Return an experiment's values by config path, with what the budget changes; stand-ins are not in place."""
        changes, found = self.effort, dict[str, Value]()
        for name in reversed(self._chain(experiment)):
            found |= self.experiments[name].set | changes.experiments.get(name, {})
        common = self.common | changes.set
        task = str(found.get("task", common.get("task", ExperimentConfig().task)))
        others = TASKS.keys() - {task}
        found = {path: value for path, value in common.items() if path.partition(".")[0] not in others} | found
        if self.store_of(experiment) is not None:
            found.setdefault("classification.tiles", "both")
        return found

    def stand_ins(self, experiment: str) -> dict[str, tuple[str, str]]:
        """Return what stands for what in an experiment: stand-in and original, by config path."""
        values = self.values(experiment)
        return {
            path: (others[str(values[path])], str(values[path]))
            for path, others in self.effort.stand_ins.items()
            if str(values.get(path)) in others
        }

    def config(self, experiment: str, seed: int, synthetic: Path | None = None) -> ExperimentConfig:
        """Return the configuration of an experiment.

        Args:
            experiment: Its name.
            seed: Of the cell.
            synthetic: Where its store of synthetic tiles is, or will be.

        Raises:
            ConfigError: Its values break a rule.
        """
        values = {**self.values(experiment), "seed": seed}
        values |= {path: stand_in for path, (stand_in, _) in self.stand_ins(experiment).items()}
        if synthetic is not None:
            values["classification.synthetic"] = str(synthetic)
        source = f"experiment {experiment!r} of the study {self.name}, budget {self.budget}"
        try:
            return validated(ExperimentConfig, nest(values), source)
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(f"{error} ({source})") from None

    def with_seeds(self, seeds: Sequence[int]) -> "Study":
        """Return the study with other seeds, whatever the budget.

        Raises:
            ConfigError: They are no different numbers >= 0.
        """
        changed = {**self.model_dump(exclude_defaults=True), "seeds": list(seeds)}
        for budget in changed.get("budgets", {}).values():
            budget.pop("seeds", None)
        return validated(Study, changed, "--seeds")

    def on_store(self, store: str) -> "Study":
        """Return the study on other tiles; size and domains are theirs, and what names others' domains is left out."""
        gone = ("data.store", "data.tile_size", "data.num_domains", "data.held_out_domain", "partition.absent_cells")

        def without(values: Mapping[str, Value]) -> dict[str, Value]:
            return {path: value for path, value in values.items() if path not in gone}

        budgets = {
            name: budget.model_copy(
                update={
                    "set": without(budget.set),
                    "experiments": {each: without(own) for each, own in budget.experiments.items()},
                }
            )
            for name, budget in self.budgets.items()
        }
        experiments = {
            name: entry.model_copy(update={"set": without(entry.set)}) for name, entry in self.experiments.items()
        }
        common = {**without(self.common), "data.store": store}
        return self.model_copy(update={"common": common, "experiments": experiments, "budgets": budgets})


def load_study(path: Path) -> Study:
    """Read a study from YAML.

    Raises:
        ConfigError: With every problem of the file.
    """
    return validated(Study, read_yaml(path), source=str(path))


def find_study(name: Path, folder: Path) -> Path:
    """Return the file of a study.

    Args:
        name: Its path, or the name of one in ``folder`` (``histopathology_gans`` or ``histopathology-gans``).
        folder: With studies.

    Raises:
        ConfigError: There is none of that name.
    """
    return find_yaml(name, folder, "--study")


def _unknown(where: str, name: str | None, known: Mapping[str, Any] | Sequence[str]) -> Iterator[str]:
    if name is not None and name not in known:
        named = ", ".join(map(repr, known)) or "none"
        yield f"{where}: there is no {name!r}{nearest_name(name, known)} (there is {named})"
