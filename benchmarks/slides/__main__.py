"""Measures cutting against a plain loop of OpenSlide's reads and PNG writes: ``python -m benchmarks.slides``."""

import argparse
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.machine import busy_warning, describe_machine, machine_sentence
from benchmarks.processes import REPOSITORY, MeasurementError, run_fresh
from benchmarks.slides.pyramid import write_pyramid
from benchmarks.tables import format_seconds, markdown_table, replace_section
from fedray.data import TileStore

_README = REPOSITORY / "benchmarks" / "README.md"
_PICTURE = REPOSITORY / "docs" / "slide-tissue.png"
_TIMEOUT_S = 900.0
_MPP = 0.5
_MAX_PEAK_MB = 400.0
_MIN_RATIO = 1.5
_ENGINES = {"fedray": ("fedray", "2"), "fedray-1": ("fedray", "1"), "loop": ("loop", "")}
"""Program and its argument: FedRay with 2 threads and with 1, and the loop."""


@dataclass(frozen=True)
class _Case:
    """What is cut."""

    suffix: str
    """Of the slide: '.tif' is read with tifffile, '.svs' with OpenSlide."""
    resolution: float
    """Micrometres per pixel of the tiles; the slide has 0.5."""


_CASES = {"tiff": _Case(".tif", 0.5), "tiff-halved": _Case(".tif", 1.0), "svs": _Case(".svs", 0.5)}


def main() -> None:
    """Make the slides, run the engines in turns, and write the table and all rows."""
    arguments = _parse_arguments()
    out: Path = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    for suffix in sorted({_CASES[case].suffix for case in arguments.cases}):
        _make_slides(out, suffix, arguments.edge)
    warning = busy_warning()
    machine = describe_machine(("openslide-python", "openslide-bin", "tifffile", "imagecodecs", "pillow", "numpy"))
    print(machine_sentence(machine), *filter(None, [warning]), sep="\n")
    rows = []
    for repeat in range(arguments.repeats):
        for case in arguments.cases:
            rows += _measure(case, repeat, out)
    frame = pd.DataFrame(rows)
    frame.to_parquet(out / "runs.parquet")
    text = "\n".join([_table(frame), "", machine_sentence(machine), *([f"\n{warning}"] if warning else [])])
    (out / "table.md").write_text(text)
    print(f"\n{text}\n\nrows: {out / 'runs.parquet'}")
    if arguments.readme:
        replace_section(_README, "slides", text)
        _save_mask(out / "large.tissue.png")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slides", description=__doc__)
    parser.add_argument("--cases", nargs="+", choices=_CASES, default=list(_CASES))
    parser.add_argument("--edge", type=int, default=20_480, help="of the large slide in pixels (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="how often each engine runs (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "runs" / "benchmarks" / "slides")
    parser.add_argument("--readme", action="store_true", help="also put the table into benchmarks/README.md")
    arguments = parser.parse_args()
    for name, least, step in (("edge", 4096, 4096), ("repeats", 1, 1)):
        value = getattr(arguments, name)
        if value < least or value % step:
            parser.error(f"--{name} must be >= {least}, a multiple of {step}, but got {value}")
    return arguments


def _slides(out: Path, suffix: str) -> tuple[Path, Path]:
    return out / f"large{suffix}", out / f"small{suffix}"


def _make_slides(out: Path, suffix: str, edge: int) -> None:
    """Make a large slide, and a small one for the test split, unless they are there."""
    for seed, (path, pixels) in enumerate(zip(_slides(out, suffix), (edge, 4096), strict=True)):
        made = path.with_name(f"{path.name}-{pixels}.made")
        if not made.exists():
            print(f"making {path.name}, {pixels:,} x {pixels:,} pixels ... ", end="", flush=True)
            write_pyramid(path, pixels, _MPP, seed=seed, aperio=suffix == ".svs")
            made.touch()
            print(f"{path.stat().st_size / 1e6:,.0f} MB")


def _measure(case: str, repeat: int, out: Path) -> list[dict[str, object]]:
    """Run every engine in a fresh process, in turned order at every other repeat. Returns a row for each."""
    slides = _slides(out, _CASES[case].suffix)
    places = out / f"{case}-places.npy"
    if not places.exists() or repeat == 0:  # the loop is told where the tissue is
        _run("fedray", case, out, slides, places)
        np.save(places, _places(TileStore.open(out / f"{case}-fedray"), slides))
    engines = list(_ENGINES) if repeat % 2 == 0 else list(_ENGINES)[::-1]
    print(f"{case}, repeat {repeat + 1} ... ", end="", flush=True)
    results = {engine: _run(engine, case, out, slides, places) for engine in engines}
    print(", ".join(f"{engine} {format_seconds(float(result['seconds']))}" for engine, result in results.items()))
    if repeat == 0:
        _check_tiles(out, case)
        shutil.copy(next((out / f"{case}-fedray-masks").glob("0000-*")), out / "large.tissue.png")
    for engine in _ENGINES:
        shutil.rmtree(out / f"{case}-{engine}")
    return [{"case": case, "repeat": repeat, "engine": engine, **result} for engine, result in results.items()]


def _run(engine: str, case: str, out: Path, slides: tuple[Path, Path], places: Path) -> dict[str, float]:
    program, argument = _ENGINES[engine]
    result = out / f"{case}-{engine}.json"
    arguments = [program, argument or str(places), str(_CASES[case].resolution), str(out / f"{case}-{engine}")]
    command = [sys.executable, "-m", "benchmarks.slides.program", *arguments, str(result), *map(str, slides)]
    run_fresh(command, out / f"{case}-{engine}.log", _TIMEOUT_S)
    measured: dict[str, float] = json.loads(result.read_text())
    return measured


def _places(store: TileStore, slides: tuple[Path, Path]) -> np.ndarray:
    """Return the slide's number and the corner in level 0 of every tile, int64 [N, 3]."""
    numbers = {slide.name: number for number, slide in enumerate(slides)}
    rows = []
    for source in store.sources(np.arange(len(store))):
        name, x, y = source.rsplit(", ", 2)
        rows.append((numbers[name], int(x[2:]), int(y[2:])))
    return np.array(rows)


def _check_tiles(out: Path, case: str) -> None:
    """The engines' tiles must agree, but for the decoders' rounding and, where tiles are made smaller, their edges."""
    store = TileStore.open(out / f"{case}-fedray")
    for index in range(0, len(store), 37):
        theirs = np.asarray(Image.open(out / f"{case}-loop" / f"{index:06d}.png")).astype(int)
        if (difference := np.abs(theirs - store.tiles([index])[0]).mean()) > 1.0:
            raise MeasurementError(f"tile {index} of {case} differs by {difference:.2f} of 255 on average")


def _save_mask(picture: Path) -> None:
    """Put the picture of the large slide's tissue, smaller and with 64 colours, into the docs."""
    image = Image.open(picture).reduce(2)
    image.quantize(64, dither=Image.Dither.NONE).save(_PICTURE, optimize=True)


def _table(frame: pd.DataFrame) -> str:
    header = [
        "case",
        "tiles",
        "FedRay, 2 threads",
        "1 thread",
        "loop",
        "ratio",
        "FedRay CPU",
        "loop CPU",
        "memory",
        "met",
    ]
    rows = []
    for case in frame["case"].unique():
        of_case = frame[frame["case"] == case]
        by_repeat = of_case.pivot(index="repeat", columns="engine", values="seconds")
        ratio = float((by_repeat["loop"] / by_repeat["fedray"]).median())
        cpu = of_case.groupby("engine")["cpu_s"].median()
        peak = float(of_case[of_case["engine"] == "fedray"]["peak_mb"].max())
        seconds = by_repeat.median()
        rows.append(
            [
                case,
                f"{int(of_case['tiles'].iloc[0]):,}",
                *(format_seconds(float(seconds[engine])) for engine in ("fedray", "fedray-1", "loop")),
                f"{ratio:.1f}x as fast",
                *(format_seconds(float(cpu[engine])) for engine in ("fedray", "loop")),
                f"{peak:.0f} MB",
                "yes" if ratio >= _MIN_RATIO and peak <= _MAX_PEAK_MB else "no",
            ]
        )
    return markdown_table(header, rows)


if __name__ == "__main__":
    main()
