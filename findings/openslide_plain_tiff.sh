#!/usr/bin/env bash
# OpenSlide opens a plain TIFF without a complaint and shows something else than the file means: of an OME-TIFF one level of three,
# of 12 bits stored in 16 a nearly black picture, and of a picture saved with 72 dots an inch a scan of 353 micrometres per pixel.
#
# openslide-python 1.4.7, openslide-bin 4.0.1.2 (OpenSlide 4.0.1), tifffile 2026.3.3, Python 3.11. Seen:
#
#   levels in the file: 3, levels that OpenSlide shows: 1
#   12 bits: the file's largest value 3888 of 4095 (0.95), OpenSlide's 15 of 255 (0.06)
#   saved with 72 dots an inch: openslide.mpp-x 352.77777777777777
#
# An OME-TIFF keeps its coarser levels in SubIFDs, where OpenSlide does not look: a thumbnail then reads the whole finest level. Of 16
# bits it keeps the upper 8, whatever the scanner used. XResolution becomes openslide.mpp-x, who ever wrote it.
#
# Needs bash, python3 and a package index. Exits with 0 if all three are as described, with 1 otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openslide-python==1.4.7 openslide-bin==4.0.1.2 \
    tifffile==2026.3.3 imagecodecs==2026.3.6 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PROGRAM'
import sys

import numpy as np
import openslide
import tifffile

slide = np.full((2048, 2048, 3), 243, np.uint8)
options = {"tile": (256, 256), "photometric": "rgb"}

with tifffile.TiffWriter("slide.ome.tif", ome=True) as file:
    file.write(slide, subifds=2, metadata={"axes": "YXS"}, **options)
    for factor in (4, 16):
        file.write(slide[::factor, ::factor], subfiletype=1, **options)
with tifffile.TiffFile("slide.ome.tif") as file:
    there = len(file.series[0].levels)
shown = openslide.OpenSlide("slide.ome.tif").level_count
print(f"levels in the file: {there}, levels that OpenSlide shows: {shown}")

twelve = slide.astype(np.uint16) * 16
tifffile.imwrite("12.tif", twelve, metadata=None, **options)
seen = np.asarray(openslide.OpenSlide("12.tif").read_region((0, 0), 0, (64, 64)))[..., :3].max()
print(
    f"12 bits: the file's largest value {twelve.max()} of 4095 ({twelve.max() / 4095:.2f}), "
    f"OpenSlide's {seen} of 255 ({seen / 255:.2f})"
)

tifffile.imwrite("72.tif", slide, resolution=(72, 72), resolutionunit="INCH", metadata=None, **options)
mpp = openslide.OpenSlide("72.tif").properties["openslide.mpp-x"]
print(f"saved with 72 dots an inch: openslide.mpp-x {mpp}")

sys.exit(0 if (there, shown) == (3, 1) and seen < 20 and float(mpp) > 300 else 1)
PROGRAM
