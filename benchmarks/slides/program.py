"""What one measuring process does: cut two slides with FedRay, or with a plain loop."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import openslide
from PIL import Image

from benchmarks.memory import PrivateMemory
from fedray.data.importing.images import ListedImage, Listing
from fedray.data.slides import CutOptions, cut_slides

TILE_PX = 256


def main() -> None:
    """Run ``fedray THREADS`` or ``loop PLACES`` on slides, and write what it took."""
    engine, argument, resolution, out, result, *slides = sys.argv[1:]
    paths = [Path(slide) for slide in slides]
    with PrivateMemory() as memory:
        start, start_cpu = time.perf_counter(), time.process_time()
        if engine == "fedray":
            num_tiles = run_fedray(paths, float(resolution), int(argument), Path(out))
        else:
            num_tiles = run_loop(paths, float(resolution), Path(argument), Path(out))
        seconds, cpu_s = time.perf_counter() - start, time.process_time() - start_cpu
        peak_mb = memory.take_peak_mb()
    measured = {"seconds": seconds, "cpu_s": cpu_s, "tiles": num_tiles, "peak_mb": peak_mb}
    Path(result).write_text(json.dumps(measured))


def run_fedray(slides: list[Path], resolution: float, threads: int, out: Path) -> int:
    """Find the tissue of the slides and cut it into a store."""
    listed = [
        ListedImage(slide, slide.name, "tissue", split=split)
        for slide, split in zip(slides, ("train", "test"), strict=True)
    ]
    options = CutOptions(TILE_PX, resolution, out, threads=threads, overwrite=True)
    return len(cut_slides(Listing(tuple(listed)), options, "benchmark").store)


def run_loop(slides: list[Path], resolution: float, places: Path, out: Path) -> int:
    """Read the same tiles one after another with OpenSlide, and write each as a PNG file; where they lie is given."""
    out.mkdir(exist_ok=True)
    opened = [openslide.OpenSlide(str(slide)) for slide in slides]
    table = np.load(places)
    for index, (slide, x, y) in enumerate(table.tolist()):
        scale = resolution / float(opened[slide].properties[openslide.PROPERTY_NAME_MPP_X])
        edge = round(TILE_PX * scale)
        image = opened[slide].read_region((x, y), 0, (edge, edge)).convert("RGB")
        if edge != TILE_PX:
            image = image.resize((TILE_PX, TILE_PX), Image.Resampling.LANCZOS)
        image.save(out / f"{index:06d}.png")
    return len(table)


if __name__ == "__main__":
    main()
