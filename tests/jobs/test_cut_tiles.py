"""The job as a user runs it: slides in, a store, pictures and a table out."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedray.data import TileStore
from tests.support.jobs import Finished, Job
from tests.support.slides import slide_picture, write_svs, write_tiff


@pytest.fixture
def cut_tiles(run: Callable[..., Finished]) -> Job:
    return lambda *arguments: run("cut_tiles", *arguments)


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    folder = tmp_path / "slides"
    for index, name in enumerate(("[red]a/1.svs", "[red]a/2.tif", "b/3.svs", "b/4.tif")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shifted = np.roll(slide_picture(), 32 * index, axis=0)
        (write_svs if name.endswith("svs") else write_tiff)(folder / name, shifted)
    return folder


def test_a_folder_of_slides(cut_tiles: Job, slides: Path, tmp_path: Path) -> None:
    (slides / "b" / "note.txt").touch()
    done = cut_tiles("--slides", slides, "--size", 64, "--resolution", 1, "--out", tmp_path / "store")
    assert done.status == 0, done.errors
    store = TileStore.open(tmp_path / "store")
    assert store.fingerprint in done.output and "[red]a/1.svs" in done.output and "edge" in done.output
    assert f"{len(store):,} tiles of 64 px from 4 slides" in done.output
    assert (
        "left out: 1 (--list-left-out names them)\n       1  no image\n" in done.output
        and "note.txt" not in done.output
    )
    assert str(tmp_path / "store-masks") in done.output and len(list((tmp_path / "store-masks").iterdir())) == 4
    assert f"python jobs/train_gan.py --data {store.path}\n" in done.output


def test_two_folders_are_two_splits_and_both_are_named_as_the_source(
    cut_tiles: Job, slides: Path, tmp_path: Path
) -> None:
    for split, names in {"here": ("[red]a/1.svs", "b/3.svs"), "there": ("[red]a/2.tif", "b/4.tif")}.items():
        for name in names:
            (tmp_path / split / name).parent.mkdir(parents=True)
            (slides / name).rename(tmp_path / split / name)
    options = ("--size", 64, "--resolution", 1, "--out", tmp_path / "store")
    done = cut_tiles("--train", tmp_path / "here", "--test", tmp_path / "there", *options)
    assert done.status == 0, done.errors
    assert json.loads((tmp_path / "store" / "store.json").read_text())["source"] == "here and there"


def test_a_table_with_clients_says_how_to_train_on_them(cut_tiles: Job, slides: Path, tmp_path: Path) -> None:
    table = tmp_path / "slides.csv"
    rows = ["1.svs,a,p1,train,north", "2.tif,a,p2,test,", "3.svs,b,p3,train,south", "4.tif,b,p4,test,"]
    table.write_text("\n".join(["slide,label,group,split,client", *rows]))
    options = ("--size", 64, "--resolution", 1, "--out", tmp_path / "store")
    done = cut_tiles("--csv", table, "--images", slides, *options)
    assert done.status == 0, done.errors
    assert done.output.rstrip().endswith("--partition.scheme client --federation.num-clients 2")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            (),
            "the slides must come from one of --slides DIR, --train DIR --test DIR and --csv FILE (with",
        ),
        (("--slides", "SLIDES", "--train", "SLIDES", "--test", "x"), "but --slides and --train are given"),
        (("--train", "SLIDES"), "--train and --test go together"),
        (("--slides", "SLIDES", "--ignore", "x"), "--ignore says how a table is read"),
        (("--csv", "x.csv", "--domains"), "--domains and --levels say what folders are"),
        (
            ("--slides", "SLIDES", "--domains", "--levels", "domain/label"),
            "--domains is short for --levels domain/label",
        ),
        (("--slides", "SLIDES", "--resolution", 0.1), "coarser than --resolution 0.1"),
        (("--slides", "SLIDES", "--size", 20), "size must be 16 to 1024 pixels, a multiple of 8, but got 20"),
    ],
)
def test_a_wrong_command_is_one_line_with_status_2(
    cut_tiles: Job, slides: Path, tmp_path: Path, options: tuple[object, ...], message: str
) -> None:
    given = [slides if option == "SLIDES" else option for option in options]
    defaults = [("--size", 64), ("--resolution", 1), ("--out", tmp_path / "store")]
    given += [part for pair in defaults if pair[0] not in given for part in pair]
    failed = cut_tiles(*given)
    assert failed.status == 2 and failed.errors.startswith("error: ") and failed.errors.count("\n") == 1, failed.errors
    assert message in failed.errors
    assert not (tmp_path / "store").exists() and not list(tmp_path.glob(".*"))
