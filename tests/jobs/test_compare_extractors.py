"""jobs/compare_extractors.py: finished runs in; their order by each extractor, and how far they agree, out."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.numpy import load_file

from tests.support.left import leave
from tests.support.rewriting import rewrite_server


@pytest.fixture(scope="module")
def runs(small_config, new_database, tmp_path_factory) -> list[Path]:
    """Four runs: one, and the same with other weights."""
    folder = tmp_path_factory.mktemp("left")
    left = leave(small_config(federation__num_rounds=1), folder / "x0", new_database(folder))
    for step in (1, 2, 3):
        copy = shutil.copytree(left.folder, folder / f"x{step}")
        [arrays] = copy.glob("checkpoint/*/server.safetensors")
        larger = {name: np.asarray(array * (1 + 0.4 * step), array.dtype) for name, array in load_file(arrays).items()}
        rewrite_server(arrays, larger)
    return [folder / f"x{step}" for step in range(4)]


@pytest.fixture
def colours(folder) -> str:
    """A second extractor: four colours of a tile, as a file that describes the file of a network."""
    torch.jit.save(
        torch.jit.script(torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())), "colours.pt"
    )
    said = {
        "extractor": "torchscript",
        "extractor_weights": "colours.pt",
        "extractor_sha256": hashlib.sha256(Path("colours.pt").read_bytes()).hexdigest(),
        "extractor_size": 16,
        "extractor_mean": [0.5, 0.5, 0.5],
        "extractor_std": [0.2, 0.2, 0.2],
        "extractor_width": 12,
    }
    Path("colours.yaml").write_text(yaml.safe_dump(said))
    return "colours.yaml"


def test_runs_become_two_tables_a_sentence_and_a_picture(run, runs, folder, colours):
    asked = ("--runs", *runs, "--extractors", "efficientnet-lite0", colours, "--num-samples", 16, "--out", "compared")
    done = run("compare_extractors", *asked)
    assert done.status == 0, done.errors
    assert "kid of the runs and (rank): lower is better" in done.output and "real tiles (floor)" in done.output
    assert "efficientnet-lite0 and colours-" in done.output and "itself, other tiles" in done.output
    scores = pd.read_parquet(folder / "compared" / "scores.parquet")
    assert set(scores["run"]) == {"real tiles", "x0", "x1", "x2", "x3"}
    assert np.isfinite(pd.read_parquet(folder / "compared" / "agreement.parquet")["tau"]).all()
    assert (folder / "compared" / "agreement.png").is_file()
    again = run("compare_extractors", *asked)
    assert again.status == 2 and "holds scores.parquet and agreement.parquet and agreement.png already" in again.errors


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "name the runs that are scored: --runs RUN [RUN ...]"),
        (["--runs", "x0", "x1", "x2"], "an order needs at least 4 generators, but 3 can be scored (x0, x1, x2)"),
        (["--runs", "nowhere"], "there is no results folder nowhere"),
        (["--runs", "x0", "--score", "kidd"], "--score must be one of fid, kid, "),
        (["--runs", "x0", "--extractors", "incepton-v3-compat"], "did you mean 'inception-v3-compat'?"),
        (["--runs", "x0", "--extractors", "timm:resnet18"], "needs evaluation.extractor_weights"),
        (["--runs", "x0", "--extractors", "uni.yaml"], "uni.yaml must have fields of an extractor alone"),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_is_scored(refused, run, runs, folder, argv, expected):
    for place in runs:
        if not (folder / place.name).exists():
            (folder / place.name).symlink_to(place)
    (folder / "uni.yaml").write_text("extractor: timm\nnum_samples: 64\n")
    assert expected in refused(lambda *arguments: run("compare_extractors", *arguments), *argv)
