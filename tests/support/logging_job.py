"""A job in a process of its own that logs a run: python -m tests.support.logging_job URI EXPERIMENT NAME.

Half-way it says so and waits for a line, so that a test can take the server away in between.
"""

import sys
import zlib

import numpy as np
from matplotlib.figure import Figure

from fedray.tracking import Tracker

ROUNDS = 200
PARAMS = {"gan.n_critic": 5, "gan.generator_lr": 1e-4}
METRICS = ("fid", "loss/generator/loss")


def metric(name: str, run: str, round_index: int) -> float:
    """Return a value that tells run, metric and round."""
    return zlib.crc32(f"{run} {name} {round_index}".encode()) / 7


def picture(run: str) -> np.ndarray:
    """Return [16, 16, 3] uint8, different in every run."""
    return np.random.default_rng(zlib.crc32(run.encode())).integers(0, 256, (16, 16, 3), np.uint8)


def main(uri: str, experiment: str, name: str) -> None:
    """Log 200 rounds, an image and a figure."""
    run = Tracker(uri, experiment, flush_interval_s=0.05).start_run(name, params=PARAMS, tags={"fedray.sweep": "away"})
    for round_index in range(1, ROUNDS + 1):
        run.log_round(round_index, {key: metric(key, name, round_index) for key in METRICS})
        if round_index == ROUNDS // 2:
            assert run.flush()
            print("half", flush=True)
            sys.stdin.readline()
    run.log_image(picture(name), "samples", step=ROUNDS)
    figure = Figure()
    figure.subplots().plot([1, 2])
    run.log_figure(figure, "figures/curve.png")
    print("logged", flush=True)
    run.finish("FINISHED")


if __name__ == "__main__":
    main(*sys.argv[1:])
