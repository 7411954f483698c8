"""What a velocity network makes after some CPU minutes: ``python -m benchmarks.flow.looks [PART ...]``.

- ``tiles``: real tiles and generated ones.
- ``few-steps``: how scores fall with the steps of every sampler, and one noise on its way to a tile.
- ``recombination``: tiles of a label and a domain that were never seen together, on three scanner domains of colon.
- ``memorisation``: training tiles nearest to generated ones, and how near held-out real tiles come.

All parts share the trained networks in ``--out``, which later calls load.
"""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.flow.few_steps import run_few_steps
from benchmarks.flow.memorisation import run_memorisation
from benchmarks.flow.recombination import DOMAIN_NAMES, LEFT_OUT, run_recombination
from benchmarks.flow.trained import Asked, about, made, trained_flow
from benchmarks.machine import describe_machine, machine_sentence
from benchmarks.processes import REPOSITORY
from benchmarks.tables import replace_section
from fedray.config import DataConfig
from fedray.data import open_store
from fedray.data.colon import LABEL_NAMES
from fedray.results.pictures import save_samples

_DOCS = REPOSITORY / "docs"
_SHOWN_TILES = 8


def main() -> None:
    """Look at what was asked for, print it and keep it as Markdown."""
    arguments = _parse()
    torch.set_num_threads(1)
    data = {"store": arguments.store} if arguments.store else {"tile_size": arguments.tile_size}
    asked = Asked(arguments.minutes, arguments.seed, arguments.out.resolve(), data)
    asked.out.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Callable[[], str]] = {
        "tiles": lambda: run_tiles(asked),
        "few-steps": lambda: run_few_steps(asked),
        "recombination": lambda: run_recombination(asked, (arguments.label, arguments.domain)),
        "memorisation": lambda: run_memorisation(asked),
    }
    if unknown := set(arguments.parts) - set(parts):
        raise SystemExit(f"there is no part {sorted(unknown)[0]!r}; take one of {', '.join(parts)}")
    for name in arguments.parts or parts:
        text = f"{parts[name]()}\n\n{machine_sentence(describe_machine(('torch',)))}"
        (asked.out / f"{name}.md").write_text(f"{text}\n")
        print(text, flush=True)
        if arguments.docs:
            replace_section(_DOCS / "flow.md", name, text)
    if arguments.docs:
        for picture in asked.out.glob("flow-*.png"):
            shutil.copy(picture, _DOCS)


def run_tiles(asked: Asked) -> str:
    """Draw real tiles above generated ones, a block a label. Returns what the training took."""
    store = open_store(DataConfig.model_validate(asked.data))
    trained = trained_flow(store, asked)
    labels = np.repeat(np.arange(len(store.label_names)), _SHOWN_TILES)
    tiles = made(trained.learner, labels, ("tiles",))
    preview = tiles.reshape(-1, _SHOWN_TILES, *tiles.shape[1:])
    save_samples(asked.out / "flow-tiles.png", store, preview, f"flow matching, {about(trained)}")
    return f"{about(trained)}."


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.flow.looks", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="of those above (default: all)")
    parser.add_argument("--minutes", type=float, default=10.0, help="CPU minutes of a training (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", help="a tile store in the place of the embedded one; not for recombination")
    parser.add_argument("--tile-size", type=int, default=32, help="of the embedded store (default: %(default)s)")
    left_out = parser.add_argument_group("recombination", "the pair that one network does not see")
    left_out.add_argument("--label", choices=LABEL_NAMES, default=LEFT_OUT[0], help="(default: %(default)s)")
    left_out.add_argument("--domain", choices=DOMAIN_NAMES, default=LEFT_OUT[1], help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "runs" / "benchmarks" / "flow-looks")
    parser.add_argument("--docs", action="store_true", help="also put tables and pictures into docs/")
    return parser.parse_args()


if __name__ == "__main__":
    main()
