"""The command line that makes tiles with a finished run's generator: a run in, a store or a folder of pictures out."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, Literal, NamedTuple

import tyro
from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fedray.cli.options import parse_options
from fedray.cli.store import progress_bar
from fedray.config import ConfigError, DataConfig, GateConfig, ResourcesConfig
from fedray.data.catalog import DATASETS
from fedray.data.writing import check_target
from fedray.evaluation import is_of_all_tiles
from fedray.evaluation.gate import CellVerdict
from fedray.experiment.gated import Gated, StoreGate, check_passed, keep_table, origin_of_gate, refusals, through_gate
from fedray.learning import training_device
from fedray.results.finished import Finished
from fedray.results.generating import (
    ORIGIN_FILE,
    Cell,
    cells_wanted,
    generated,
    origin_of,
    write_pictures,
    write_synthetic_store,
)
from fedray.storage import is_uri
from fedray.terminal import plain_console


class GenerateOptions(BaseModel):
    """Options of the job."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    run: Annotated[str | None, tyro.conf.arg(metavar="RUN")] = None
    """Whose generator: a results folder, its s3:// or gs:// address, or the id of an MLflow run (32 hexadecimal
    digits); of a sweep, the best trial's."""
    out: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """The tile store to write, or with --png the folder of pictures."""
    counts: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[LABEL[/DOMAIN]=]N")] = ("100",)
    """How many tiles: 1000 is of every label, gland=1000 of one, gland/siteA=1000 of one in one domain; without a
    domain they are spread evenly over the domains."""
    gate: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Judge every pair of a label and a domain first, and write the tiles of those alone that pass: distance to real
    tiles, agreement of a classifier of real tiles, copies. All answers are kept in OUT.gate.parquet."""
    limits: GateConfig = GateConfig()
    data: Annotated[str | None, tyro.conf.arg(metavar="STORE")] = None
    """Where the run's real tiles are, for --gate; unset: where it found them."""
    png: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write a folder of PNG files, one folder a label, instead of a tile store."""
    seed: int = Field(0, ge=0)
    """Of the noise, >= 0: another one makes other tiles."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace the tile store at --out."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network computes: auto (a GPU where there is one), cpu or cuda."""


def generate(argv: Sequence[str], description: str) -> None:
    """Make tiles.

    Args:
        argv: Command line without the program.
        description: First paragraph of ``--help``.

    Raises:
        UserError: The message is for the user.
    """
    options = parse_options(GenerateOptions, argv, description)
    run, out = _run_and_out(options)
    device = training_device(ResourcesConfig(device=options.device))
    finished = Finished.open(run)
    cells = cells_wanted(options.counts, finished.tiles)
    console = plain_console(soft_wrap=True)
    gated = _gated(console, finished, cells, options, out, device) if options.gate else None
    passed, begun, more = (gated.gated.passed, gated.gated.begun, gated.origin) if gated else (cells, None, {})
    origin = {**origin_of(finished, passed, options.seed), **more}
    with progress_bar() as show:
        told = lambda done, total: show("making tiles", done, total)  # noqa: E731
        made = generated(finished, passed, options.seed, device, told, begun)
        if options.png:
            write_pictures(out, made, finished.tiles, origin)
        else:
            write_synthetic_store(out, made, finished.tiles, origin, overwrite=options.overwrite)
    _tell(console, finished, passed, out, png=options.png)


class _AtGate(NamedTuple):
    """What came of the gate, and what the origin says of it."""

    gated: Gated
    origin: Mapping[str, Any]


def _gated(
    console: Console, finished: Finished, cells: Sequence[Cell], options: GenerateOptions, out: Path, device: str
) -> _AtGate:
    """Judge the cells, print and keep all answers.

    Raises:
        GateError: None passed. Others as of :meth:`StoreGate.of_run`.
    """
    data = None if options.data is None else DataConfig(store=options.data)
    with progress_bar() as show:
        show("measuring real tiles", 0, len(cells))
        gate = StoreGate.of_run(finished, options.limits, device, data)
        done = itertools.count(1)
        told = lambda verdict: show("judging", next(done), len(cells))  # noqa: E731
        gated = through_gate(gate, finished.sampler(device), cells, options.seed, told)
    kept = keep_table(gated.table, out)
    console.print(_gate_table(gated.verdicts, finished))
    for line in refusals(gate, gated):
        console.print(f"not handed out, {line}")
    console.print(f"all answers of the gate ({gate.extractor.name}): {kept}")
    check_passed(gate, gated)
    return _AtGate(gated, origin_of_gate(gate, gated))


def _gate_table(verdicts: Sequence[CellVerdict], finished: Finished) -> Table:
    """Show a row a cell: value and limit of every question."""
    names, domains = finished.tiles.label_names, finished.tiles.domain_names
    table = Table(title=Text("the gate: value (limit) of every question"))
    for column in ("label", "domain", "real tiles", "distance", "label agrees", "domain agrees", "copies", ""):
        table.add_column(Text(column))
    for verdict in verdicts:
        said = [check.says if check.says == "not asked" else f"{check.value:.2f} ({check.limit:.2f})"
                for check in verdict.checks]  # fmt: skip
        told = "passed" if verdict.passed else "not handed out"
        cell = (names[verdict.label], domains[verdict.domain], f"{verdict.num_real:,}")
        table.add_row(*map(Text, (*cell, *said, told)))
    return table


def _run_and_out(options: GenerateOptions) -> tuple[str, Path]:
    """Refuse what would be known only after the tiles were made.

    Raises:
        ConfigError: With the remedy.
        StoreError: As of :func:`check_target`.
    """
    if options.run is None or options.out is None:
        raise ConfigError("name the run and where its tiles go: --run RUN --out DIR")
    if is_uri(options.out):
        raise ConfigError(f"--out must be a folder of this machine, but got {options.out}; copy it there afterwards")
    if not options.gate and (options.data is not None or options.limits != GateConfig()):
        given = "--data" if options.data is not None else "--limits"
        raise ConfigError(f"{given} is for the gate; add --gate, or leave it out")
    if options.png and options.overwrite:
        raise ConfigError("--overwrite replaces tile stores alone; name another folder for --png")
    out = Path(options.out).expanduser().resolve()
    if not options.png:
        check_target(out, options.overwrite)
    elif out.exists():
        raise ConfigError(f"--out {out} exists already; name another folder for --png")
    return options.run, out


def _tell(console: Console, finished: Finished, cells: Sequence[Cell], out: Path, *, png: bool) -> None:
    """Print how many tiles there are, what their makers' scores were, and how to go on."""
    names, domains = finished.tiles.label_names, finished.tiles.domain_names
    several = len(domains) > 1
    table = Table(title=Text(f"{sum(cell.num for cell in cells):,} synthetic tiles of {finished.tiles.size} px"))
    for column in ("label", *(["domain"] if several else []), "tiles"):
        table.add_column(Text(column), justify="right" if column == "tiles" else "left")
    for cell in cells:
        table.add_row(Text(names[cell.label]), *([domains[cell.domain]] if several else []), f"{cell.num:,}")
    console.print(table)
    shown = [f"{name} {value:.3g}" for name, value in finished.scores.items() if name.startswith(("kid/", "c2st/"))]
    scores = ", ".join(name for name in shown if is_of_all_tiles(name))
    console.print(f"made by run {finished.run_id} after {finished.rounds} round(s): {scores or 'never scored'}")
    kept = f"{out / ORIGIN_FILE}" if png else f"{out}/store.json"
    console.print(f"what made them is in {kept}")
    data = finished.config.data
    size = f" --data.tile-size {data.tile_size}" if data.store in DATASETS else ""
    if not png:
        console.print(
            f"to train a classifier on them too: python jobs/train_classifier.py --data {quote(data.store)}{size} "
            f"--classification.tiles both --classification.synthetic {quote(str(out))}"
        )
    console.print(f"next: python jobs/score_tiles.py --data {quote(data.store)}{size} --tiles {quote(str(out))}")
