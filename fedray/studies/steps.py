"""The steps of a study: each is computed once, named by the content of all that its result hangs on."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fedray.config import ConfigError, ExperimentConfig, GateConfig, nearest_name, override
from fedray.data import StoreError, client_partition, local_store
from fedray.evaluation import mode_of, whole_of
from fedray.experiment import judging_of, settled
from fedray.experiment.controls import ControlName
from fedray.experiment.run import check_config
from fedray.reports import REPORTS
from fedray.results.start import Start, opened_start
from fedray.studies.definition import ANY, Study

STEPS = "steps"
"""Folder of a study's steps, each in a folder that its fingerprint names."""

_CHANGES_NOTHING = ("tracking", "resources")  # the same scores on however many workers, but for rounding


@dataclass(frozen=True)
class Step:
    """Something to compute, once for all cells that need it."""

    name: str
    """For people: experiment or store, and seed."""
    fingerprint: str
    """Hash of what its result hangs on, 32 hexadecimal digits."""
    folder: Path
    """Where its result goes."""
    seed: int
    upstream: tuple[str, ...] = ()
    """Fingerprints of the steps whose results it needs."""


@dataclass(frozen=True)
class ExperimentStep(Step):
    """Runs an experiment."""

    config: ExperimentConfig = field(default_factory=ExperimentConfig)


@dataclass(frozen=True)
class StoreStep(Step):
    """Makes a store of synthetic tiles with the generator of the step before it."""

    maker: Path = Path()
    """Folder of the experiment."""
    per_label: int = 0
    gate: GateConfig | None = None
    """Limits that every cell must pass; None: nothing is asked."""


@dataclass(frozen=True)
class ControlStep(Step):
    """Makes a store that stands in the place of the one of the step before it."""

    of: Path = Path()
    """Folder of that store."""
    maker: Path = Path()
    """Folder of the experiment whose generator made it."""
    control: ControlName = "noise"


@dataclass(frozen=True)
class JudgementStep(Step):
    """Makes all reports on the tiles of the step before it."""

    maker: Path = Path()
    """Folder of the experiment."""


@dataclass(frozen=True)
class Plan:
    """All steps of a study, and which of them each cell shows."""

    steps: dict[str, Step]
    """By fingerprint; what is needed stands before what needs it."""
    cells: dict[tuple[str, str, int], str]
    """Fingerprint of the experiment that a cell shows, by table, row and seed."""

    def experiments(self) -> list[ExperimentStep]:
        """Return the steps that are experiments."""
        return [step for step in self.steps.values() if isinstance(step, ExperimentStep)]


def plan_study(study: Study, out: Path) -> Plan:
    """Find all steps of a study, and check each; starts nothing.

    Args:
        study: What is asked.
        out: Folder of the study.

    Raises:
        ConfigError: A configuration breaks a rule, or a chain of steps cannot work. All experiments' problems are in
            one message.
        ValueError: The data, or a network, are impossible; the message says how.
    """
    out = out.resolve()
    planner = _Planner(study, out)
    problems, cells = [], {}
    for table in study.tables:
        for row in table.rows:
            for seed in study.all_seeds:
                find = planner.judgement if row.judged else planner.experiment
                try:
                    cells[table.name, row.name, seed] = find(row.source, seed).fingerprint
                except ConfigError as error:
                    problems.append(str(error))
    plan = Plan(planner.steps, cells)
    problems += [] if problems else _score_problems(study, plan)
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))
    return plan


def full_name(score: str, names: Iterable[str]) -> str | None:
    """Return the first name that begins so, whose number says on how many tiles it rests.

    It is that of all tiles, unless a part is asked for: ``recall/label/tumour``, ``macro-f1/domain/scanner-b``.
    """
    beginning, of_parts = whole_of(score), score.removeprefix(whole_of(score))
    alike = [name for name in names if name.removeprefix(whole_of(name)) == of_parts]
    return next((name for name in alike if f"{whole_of(name)}/".startswith(f"{beginning}/")), None)


def spelled_out(scores: Sequence[str], names: Iterable[str]) -> list[str]:
    """Replace each score with a ``*`` by all that there are of it, in their order.

    Args:
        scores: As a table asks for them.
        names: Of the scores that experiments have.
    """
    short, found = list(dict.fromkeys(map(_short_name, names))), list[str]()
    for score in scores:
        pattern = re.compile("(?:(?!/domain/).)*".join(map(re.escape, score.split(ANY))))
        found += [name for name in short if pattern.fullmatch(name)] if ANY in score else [score]
    return list(dict.fromkeys(found))


def _short_name(name: str) -> str:
    """Leave split and number of tiles out of a score's name, but for those of an external test."""
    whole = whole_of(name)
    kind, _, protocol = whole.partition("/")
    external = "/external" if protocol.startswith("external/") else ""
    return f"{kind}{external}{name.removeprefix(whole)}"


def _score_problems(study: Study, plan: Plan) -> Iterator[str]:
    """Say of each table which score its experiments do not have."""
    names: dict[str, list[str]] = {}
    for table in study.tables:
        for row in table.rows:
            step = plan.steps[plan.cells[table.name, row.name, study.all_seeds[0]]]
            if isinstance(step, ExperimentStep) and row.source not in names:
                judging, store = judging_of(step.config), local_store(step.config.data)
                names[row.source] = [name for name in judging.score_names(step.config, store) if mode_of(name)]
            own = list(REPORTS) if row.judged else names[row.source]
            for score in table.scores:
                if ANY not in score and full_name(score, own) is None:
                    known = dict.fromkeys(name.partition("/")[0] for name in own)
                    yield (
                        f"table {table.name!r}, row {row.name!r}: the experiment {row.source!r} has no score "
                        f"{score!r}{nearest_name(score, known)} (it has {', '.join(known)})"
                    )


def fingerprint_of(content: Any) -> str:
    """Hash plain values: the order of keys does not matter, all else does."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def experiment_fingerprint(
    config: ExperimentConfig, tiles: str, upstream: Sequence[str] = (), start: str | None = None
) -> str:
    """Hash what an experiment's result hangs on.

    Args:
        config: Settled. Who computes it, how it is tracked, and where its tiles lie change nothing.
        tiles: Fingerprint of its store.
        upstream: Of the steps that it builds on.
        start: Digest of what it starts from (:attr:`fedray.results.start.Start.digest`); None where it does not.
    """
    assert (start is None) == (config.starts_from is None), "what it starts from counts by its content"
    content = config.model_dump(mode="json", exclude={*_CHANGES_NOTHING, "starts_from"})
    content["data"].pop("store")
    for name in config.family.other_stores:
        content[config.task].pop(name)
    begun = [start] if start else []  # a step that starts from nothing keeps the fingerprint that it had
    return fingerprint_of(["experiment", content, tiles, list(upstream), *begun])


def store_fingerprint(maker: str, per_label: int, seed: int, gate: GateConfig | None = None) -> str:
    """Hash what synthetic tiles hang on.

    Args:
        maker: Fingerprint of their generator's step.
        per_label: Tiles of each label.
        seed: Of the noise.
        gate: What they have passed.
    """
    return fingerprint_of(["tiles", maker, per_label, seed, *([gate.model_dump(mode="json")] if gate else [])])


class _Planner:
    """Steps as far as they are known; each is found once."""

    def __init__(self, study: Study, out: Path) -> None:
        self._study, self._out = study, out
        self.steps: dict[str, Step] = {}
        self._found: dict[tuple[str, int], ExperimentStep] = {}
        self._open: list[str] = []
        self._checked: set[str] = set()
        self._starts: dict[str | None, Start | None] = {}

    def experiment(self, name: str, seed: int) -> ExperimentStep:
        if (name, seed) in self._found:
            return self._found[name, seed]
        if name in self._open:
            raise ConfigError(
                f"the study {self._study.name} goes in a circle: {' -> '.join([*self._open, name])}; an experiment "
                "cannot train on tiles that come from itself"
            )
        self._open.append(name)
        try:
            step = self._new_experiment(name, seed)
        finally:
            self._open.pop()
        self._found[name, seed] = step
        return step

    def _new_experiment(self, name: str, seed: int) -> ExperimentStep:
        store_name = self._study.store_of(name)
        made = self._store(store_name, seed) if store_name is not None else None
        config = settled(self._study.config(name, seed, made.folder if made else None))
        tiles = local_store(config.data)
        upstream = (made.fingerprint,) if made else ()
        start = self._start(config.starts_from)
        fingerprint = experiment_fingerprint(config, tiles.fingerprint, upstream, start.digest if start else None)
        if name not in self._checked:  # once for all seeds: large networks are built for it
            self._check(name, config, made)
            self._checked.add(name)
        folder = self._out / STEPS / fingerprint
        step = ExperimentStep(f"{name}, seed {seed}", fingerprint, folder, seed, upstream, config)
        self.steps.setdefault(fingerprint, step)
        return step

    def judgement(self, name: str, seed: int) -> JudgementStep:
        maker = self.experiment(name, seed)
        if maker.config.task == "classification":
            raise ConfigError(
                f"a row of the study {self._study.name} has {name!r} judged, which trains a classifier; name an "
                "experiment that makes tiles"
            )
        fingerprint = fingerprint_of(["judgement", maker.fingerprint, seed])
        folder, upstream = self._out / STEPS / fingerprint, (maker.fingerprint,)
        step = JudgementStep(f"judgement of {name}, seed {seed}", fingerprint, folder, seed, upstream, maker.folder)
        self.steps.setdefault(fingerprint, step)
        return step

    def _store(self, name: str, seed: int) -> StoreStep | ControlStep:
        made = self._made_store(name, seed)
        control = self._study.stores[name].control
        if control is None:
            return made
        fingerprint = fingerprint_of(["control", made.fingerprint, control, seed])
        folder, upstream = self._out / STEPS / fingerprint, (made.fingerprint,)
        step = ControlStep(
            f"{name}, seed {seed}", fingerprint, folder, seed, upstream, made.folder, made.maker, control
        )
        self.steps.setdefault(fingerprint, step)
        return step

    def _made_store(self, name: str, seed: int) -> StoreStep:
        (made, entry), gate = self._study.made_store(name), self._study.gate(name)
        per_label = self._study.per_label(name)
        maker = self.experiment(str(entry.made_by), seed)
        if maker.config.task == "classification":
            raise ConfigError(
                f"stores.{made}.made_by is {entry.made_by!r}, which trains a classifier; name an experiment that "
                f"trains a generator ({self._study.name})"
            )
        fingerprint = store_fingerprint(maker.fingerprint, per_label, seed, gate)
        folder, upstream = self._out / STEPS / fingerprint, (maker.fingerprint,)
        step = StoreStep(f"{made}, seed {seed}", fingerprint, folder, seed, upstream, maker.folder, per_label, gate)
        self.steps.setdefault(fingerprint, step)
        return step

    def _check(self, name: str, config: ExperimentConfig, synthetic: StoreStep | ControlStep | None) -> None:
        """Refuse what cannot run; what hangs on synthetic tiles is checked as far as it can be without them."""
        store = local_store(config.data)
        if synthetic is None:
            check_config(config, store, self._start(config.starts_from))
            return
        if config.task != "classification":
            raise ConfigError(
                f"experiments.{name}.synthetic is for classifiers, but its task is {config.task!r}; leave it out"
            )
        made = self.steps[synthetic.upstream[0]] if isinstance(synthetic, ControlStep) else synthetic
        assert isinstance(made, StoreStep)
        learned_from = local_store(self._maker_config(made).data)
        if learned_from.fingerprint != store.fingerprint:
            raise ConfigError(
                f"experiments.{name} is on other tiles ({config.data.store}) than the generator of its synthetic ones "
                f"({learned_from.path}); give both one data.store, and one data.held_out_domain"
            )
        check_config(_on_real_tiles_alone(config), store, self._start(config.starts_from))
        if config.federation.mode == "fedssg":
            return  # a share is the most that is handed out, not what must be there
        per_real, num_real = config.classification.synthetic_per_real, int(client_partition(config).sizes().sum())
        available = made.per_label * len(store.label_names)
        if per_real is not None and round(per_real * num_real) > available:
            raise StoreError(
                f"experiments.{name} asks for {per_real:g} synthetic tiles for each of {num_real} real ones, but there "
                f"are {available}: raise per_label to {int(np.ceil(per_real * num_real / len(store.label_names)))}, or "
                "lower classification.synthetic_per_real"
            )

    def _start(self, place: str | None) -> Start | None:
        """Open what experiments start from: once for all seeds, and for all that start from it."""
        if place not in self._starts:
            self._starts[place] = opened_start(place)
        return self._starts[place]

    def _maker_config(self, made: StoreStep) -> ExperimentConfig:
        maker = self.steps[made.upstream[0]]
        assert isinstance(maker, ExperimentStep)
        return maker.config


def _on_real_tiles_alone(config: ExperimentConfig) -> ExperimentConfig:
    """Return what is left of a configuration where there are no synthetic tiles yet."""
    alone = {"tiles": "real", "synthetic": None, "synthetic_per_real": None}
    if config.federation.mode == "fedssg":
        alone["allocation"] = "none"
    return override(config, {f"classification.{name}": value for name, value in alone.items()}, "a study")
