"""The command line that scores generators with several extractors: runs in; ranks, their agreement, a picture out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from pydantic import BaseModel, ConfigDict, Field
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fedray.cli.options import parse_options
from fedray.config import ConfigError, DataConfig, EvaluationConfig, ResourcesConfig, read_yaml, validate
from fedray.data import local_store
from fedray.evaluation import check_compared, check_extractor, extractor_name, mode_of
from fedray.evaluation.metrics import METRICS
from fedray.experiment.comparing import (
    AGREEMENT,
    ITSELF,
    PICTURE,
    SCORES,
    Compared,
    Found,
    candidates_of,
    check_comparable,
    score_candidates,
    verdict,
    write_compared,
)
from fedray.learning import training_device
from fedray.results.place import Place, new_place
from fedray.storage import why_not_made
from fedray.terminal import plain_console

KINDS = tuple(kind for metric in METRICS for kind, mode in metric.kinds.items() if mode is not None)
"""Scores by which generators can be ranked."""


class CompareOptions(BaseModel):
    """Options of the job."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    runs: Annotated[tuple[str, ...], tyro.conf.arg(metavar="RUN [RUN ...]")] = ()
    """Whose generators: results folders, their s3:// or gs:// addresses, or ids of MLflow runs; of a sweep's folder,
    every trial that ran all its rounds."""
    extractors: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME_OR_FILE ...")] = (
        "efficientnet-lite0",
        "domain-cnn",
    )
    """With which extractors: names, or YAML files with the fields of the section evaluation that say one from a file
    (extractor, extractor_weights, ...)."""
    score: str = Field("kid", description=f"Score that runs are ranked by: {', '.join(KINDS)}.")
    data: Annotated[str | None, tyro.conf.arg(metavar="STORE")] = None
    """Tile store with the real tiles; unset: the first run's."""
    num_samples: int | None = Field(None, ge=16)
    """Tiles compared, >= 16; unset: as in an experiment."""
    split: Literal["train", "test"] = "test"
    """The real tiles that generated ones are compared with."""
    seed: int = Field(0, ge=0)
    """Of the noise, >= 0."""
    out: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder for the results, or an s3:// or gs:// address; unset: runs/extractors with the time."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks compute: auto (a GPU where there is one), cpu or cuda."""


def compare(argv: Sequence[str], description: str) -> None:
    """Compare extractors.

    Args:
        argv: Command line without the program.
        description: First paragraph of ``--help``.

    Raises:
        UserError: The message is for the user.
    """
    options = parse_options(CompareOptions, argv, description)
    if not options.runs:
        raise ConfigError("name the runs that are scored: --runs RUN [RUN ...]")
    if options.score not in KINDS:
        raise ConfigError(f"--score must be one of {', '.join(KINDS)}, but got {options.score!r}")
    judges = [_judge(name, options) for name in options.extractors]
    found = candidates_of(options.runs)
    theirs = found.candidates[0].finished.config.data
    store = local_store(DataConfig(store=options.data) if options.data else theirs)
    notes = check_comparable(found.candidates, store)
    check_compared(store, judges[0])
    for judge in judges:
        check_extractor(store, judge)
    out = Place.at(options.out or new_place("extractors"))
    if not out.is_locked():  # a job that died there left half of them
        _check_free(out)
    console, device = plain_console(), training_device(ResourcesConfig(device=options.device))
    for note in (*notes, *_lost(found)):
        console.print(f"note: {note}", soft_wrap=True)
    compared = score_candidates(found.candidates, judges, store, options.score, device, options.seed)
    with out.held() as is_left:
        if not is_left:
            _check_free(out)
        write_compared(compared, out.folder)
        out.push()
    _print(console, compared, judges)
    console.print(f"Results: {out}/: {SCORES}, {AGREEMENT}, {PICTURE}", soft_wrap=True)


def _judge(name: str, options: CompareOptions) -> EvaluationConfig:
    """Read an extractor: a name, or a file with what is said of it."""
    said = read_yaml(Path(name)) if Path(name).is_file() else {"extractor": name}
    if strange := [field for field in said if not field.startswith("extractor")]:
        raise ConfigError(
            f"{name} must have fields of an extractor alone (extractor, extractor_...), not {strange[0]!r}"
        )
    return validate(
        EvaluationConfig, {**said, "num_samples": options.num_samples, "split": options.split}, f"--extractors {name}"
    )


def _lost(found: Found) -> list[str]:
    """Say whose generators are not there, and how a sweep keeps those of all trials."""
    notes = [f"{name} is not scored: {why}" for name, why in found.lost.items()]
    if any(why.startswith("pruned") for why in found.lost.values()):
        notes.append("a sweep with early_stopping: none stops no trial, and keeps all of them")
    return notes


def _check_free(out: Place) -> None:
    if (problem := why_not_made(Path(out.folder))) is not None:
        raise ConfigError(f"--out {out} cannot be used: {problem}; name another folder")
    if taken := [name for name in (SCORES, AGREEMENT, PICTURE) if (out.folder / name).exists()]:
        raise ConfigError(f"--out {out} holds {' and '.join(taken)} already; name another folder")


def _print(console: Console, compared: Compared, judges: Sequence[EvaluationConfig]) -> None:
    """Print scores with ranks, and how far the extractors agree."""
    better = "lower" if mode_of(f"{compared.kind}/") == "min" else "higher"
    table = Table(title=Text(f"{compared.kind} of the runs and (rank): {better} is better"), box=box.SIMPLE_HEAD)
    table.add_column("run", overflow="fold")
    names = [extractor_name(judge) for judge in judges]
    for name in names:
        table.add_column(Text(name), justify="right", overflow="fold")
    values, ranks = compared.table, compared.ranks
    for run in ranks.sort_values(names[0]).index:
        cells = [f"{values.loc[run, name]:.4g} ({ranks.loc[run, name]:g})" for name in names]
        table.add_row(Text(str(run)), *cells)
    table.add_section()
    table.add_row(
        "real tiles (floor)", *(f"{compared.floor[name]:.4g}" if name in compared.floor else "" for name in names)
    )
    console.print(table)
    taus = Table(
        title=Text("Kendall's tau of the ranks: 1 is the same order, 0 none, -1 the reverse"), box=box.SIMPLE_HEAD
    )
    for column in ("extractor", "with", "tau", "95 % interval"):
        taus.add_column(column, justify="left" if column in ("extractor", "with") else "right", overflow="fold")
    for row in compared.agreement.to_dict("records"):
        with_whom = "itself, other tiles" if row["second"] == ITSELF else str(row["second"])
        taus.add_row(
            Text(str(row["first"])), Text(with_whom), f"{row['tau']:.2f}", f"{row['low']:.2f} to {row['high']:.2f}"
        )
    console.print(taus)
    for sentence in verdict(compared):
        console.print(sentence, soft_wrap=True)
