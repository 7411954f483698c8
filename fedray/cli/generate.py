"""The command line that makes tiles with a finished run's generator: a run in, a store or a folder of pictures out."""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Annotated, Literal

import tyro
from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fedray.cli.options import parse_options
from fedray.cli.store import progress_bar
from fedray.config import ConfigError, ResourcesConfig
from fedray.data.catalog import DATASETS
from fedray.data.writing import check_target
from fedray.evaluation import is_of_all_tiles
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
    origin = origin_of(finished, cells, options.seed)
    console = plain_console(soft_wrap=True)
    with progress_bar() as show:
        made = generated(finished, cells, options.seed, device, lambda done, total: show("making tiles", done, total))
        if options.png:
            write_pictures(out, made, finished.tiles, origin)
        else:
            write_synthetic_store(out, made, finished.tiles, origin, overwrite=options.overwrite)
    _tell(console, finished, cells, out, png=options.png)


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
