#!/usr/bin/env bash
# pydicom 3.0.2: apply_windowing turns a picture round if its rescale slope is negative.
#
# Two files show the same values 0, 1000, 3000, 4095 after the modality transformation and have the same window (centre
# 2048, width 4096), so a viewer shows the same picture of both: black, dark, bright, white. One stores the values as they
# are (slope 1, intercept 0), the other turned round (slope -1, intercept 4095), which DICOM allows.
# apply_windowing, and apply_voi_lut and apply_voi through it, compute the output's least value from the *stored* least
# value; with a negative slope that is the greatest one, so what lies below the window becomes white and the whole picture
# its negative. apply_rescale and apply_modality_lut are right.
#
# Seen: slope  1: [   0. 1000. 3000. 4095.]
#       slope -1: [4095. 3095. 1095.    0.]
#
# Remedy: map the window's edges, centre - 0.5 -+ (width - 1) / 2, to black and white yourself.
#
# Ends with 0 where this is (still) so, with 1 where it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pydicom==3.0.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PROGRAM'
import sys

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_rescale, apply_windowing


def shown(slope, intercept, stored):
    dataset = Dataset()
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.PixelRepresentation = 16, 12, 0
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    values = apply_rescale(np.array(stored, np.uint16), dataset)
    assert values.tolist() == [0, 1000, 3000, 4095]
    return apply_windowing(values, dataset)


plain = shown(1, 0, [0, 1000, 3000, 4095])
turned = shown(-1, 4095, [4095, 3095, 1095, 0])
print("slope  1:", plain)
print("slope -1:", turned)
as_seen = np.allclose(plain, [0, 1000, 3000, 4095]) and np.allclose(turned, [4095, 3095, 1095, 0])
sys.exit(0 if as_seen else 1)
PROGRAM
