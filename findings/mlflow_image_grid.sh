#!/usr/bin/env bash
# MLflow's log_image(image, key=..., step=...) keeps, beside the picture, the copy that the UI's image grid loads, and that copy is
# resized to 256 px whatever the picture's size: a small one is enlarged and smoothed, and lossy compression is on top.
#
# mlflow 3.17.2, pillow 13.0.0, numpy 2.4.6, Python 3.11. Seen:
#
#   a mask of 32 x 32 px with 2 values: the grid's copy is 256 x 256 px with 220 values
#   a checkerboard of 1024 x 1024 px, 0 and 255: the grid's copy is 256 x 256 px from 128 to 128
#   pixels of a tile of 32 px of noise, 8 x 8 of the copy averaged: up to 68 grey levels off
#
# The function is called compress_image_size and its docstring speaks of fitting within a square, so nobody expects it to
# enlarge. Generators of small tiles look smoother in the grid than they are, masks have soft edges, and the seams and
# checkerboards by which one knows a transposed convolution are gone from large ones. The full picture opens by a click.
#
# Needs bash, python3 and a package index. Exits with 0 if all three are as described, with 1 otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mlflow==3.17.2 pillow==13.0.0 numpy==2.4.6
cd "$folder"
export MLFLOW_DISABLE_TELEMETRY=true MLFLOW_TRACKING_URI=sqlite:///mlflow.db
"$folder/venv/bin/python" - 2>"$folder/log" <<'PROGRAM' || { cat "$folder/log"; exit 1; }
import sys
from pathlib import Path

import mlflow
import numpy as np
from mlflow import MlflowClient
from PIL import Image

random = np.random.default_rng(0)
mask = (random.random((32, 32)) < 0.5).astype(np.uint8) * 255
board = (np.indices((1024, 1024)).sum(0) % 2 * 255).astype(np.uint8)
tile = random.integers(0, 256, (32, 32), dtype=np.uint8)

client, copies = MlflowClient(), {}
with mlflow.start_run() as run:
    for key, picture in {"mask": mask, "board": board, "tile": tile}.items():
        mlflow.log_image(picture, key=key, step=0)
folder = Path(client.download_artifacts(run.info.run_id, "images"))
for path in folder.iterdir():
    picture = np.asarray(Image.open(path).convert("L"))
    key = path.name.partition("+")[0]
    if path.suffix == ".webp":
        copies[key] = picture
    else:
        assert np.array_equal(picture, {"mask": mask, "board": board, "tile": tile}[key]), "the picture itself is whole"

values = len(np.unique(copies["mask"]))
print(f"a mask of 32 x 32 px with 2 values: the grid's copy is {' x '.join(map(str, copies['mask'].shape))} px with {values} values")
low, high = copies["board"].min(), copies["board"].max()
print(f"a checkerboard of 1024 x 1024 px, 0 and 255: the grid's copy is {' x '.join(map(str, copies['board'].shape))} px from {low} to {high}")
means = copies["tile"].reshape(32, 8, 32, 8).mean((1, 3))
off = round(np.abs(means - tile).max())
print(f"pixels of a tile of 32 px of noise, 8 x 8 of the copy averaged: up to {off} grey levels off")
sys.exit(0 if values > 100 and high - low < 20 and off > 20 else 1)
PROGRAM
