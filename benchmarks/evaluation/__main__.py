"""Measures the evaluation: ``python -m benchmarks.evaluation [self-test] [known] [cost] [speed]``.

- ``self-test``: what destroyed real tiles score, by store and number of tiles, and whether each is seen.
- ``known``: what generators score that trained for longer and longer, their tiles beside the numbers.
- ``cost``: CPU seconds of an evaluation, in turns with an earlier commit's.
- ``speed``: features of 10,000 tiles, in turns with torch-fidelity on the same network, and their memory.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.evaluation.cost import COMMIT, run_cost
from benchmarks.evaluation.known import MINUTES, RECIPE, run_known
from benchmarks.evaluation.self_tests import SIZES, run_self_tests
from benchmarks.evaluation.speed import run_speed
from benchmarks.machine import describe_machine, machine_sentence
from benchmarks.processes import REPOSITORY

PARTS: dict[str, Callable[[argparse.Namespace], str]] = {
    "self-test": lambda asked: run_self_tests(asked.extractor, asked.store, asked.sizes, asked.out),
    "known": lambda asked: run_known(asked.recipe, asked.minutes, asked.tiles or asked.out / "tiles", asked.out),
    "cost": lambda asked: run_cost(asked.commit, asked.turns, asked.out),
    "speed": lambda asked: run_speed(asked.num, asked.edge, asked.threads, asked.turns, asked.out),
}
"""Each writes its files and returns its text, in Markdown."""


def main() -> None:
    """Measure what was asked for, print it and keep it as Markdown."""
    arguments = _parse()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.parts or PARTS:
        text = f"{PARTS[name](arguments)}\n\n{machine_sentence(describe_machine(('torch', 'timm')))}\n"
        (arguments.out / f"{name}.md").write_text(text)
        print(text, flush=True)
    print(f"tables, Parquet files and pictures: {arguments.out}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evaluation", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "runs" / "benchmarks" / "evaluation")
    tests = parser.add_argument_group("self-test")
    tests.add_argument("--extractor", default="efficientnet-lite0", choices=["efficientnet-lite0", "domain-cnn"])
    tests.add_argument("--store", action="append", default=[], help="an imported tile store, beside colon; repeatable")
    tests.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="tiles compared (default: 64 128 256)")
    known = parser.add_argument_group("known")
    known.add_argument("--recipe", default=RECIPE, help="of benchmarks.gans.gallery (default: %(default)s)")
    known.add_argument("--minutes", nargs="+", type=float, default=MINUTES, help="CPU minutes (default: 0 1 3 10 30)")
    known.add_argument("--tiles", type=Path, help="a folder with RECIPE@MINUTES.npz; what is missing is trained")
    cost = parser.add_argument_group("cost")
    cost.add_argument("--commit", default=COMMIT, help="whose evaluation is measured in turns (default: %(default)s)")
    cost.add_argument("--turns", type=int, default=5, help="processes of each (default: %(default)s)")
    speed = parser.add_argument_group("speed")
    speed.add_argument("--num", type=int, default=10_000, help="tiles (default: %(default)s)")
    speed.add_argument("--edge", type=int, default=64, help="of a tile, in pixels (default: %(default)s)")
    speed.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="PyTorch's (default: 1 2)")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"there is no part {sorted(unknown)[0]!r}; take one of {', '.join(PARTS)}")
    return arguments


if __name__ == "__main__":
    main()
