"""From slides to a store: what is in it, what was left out, and that it is whole or absent."""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from fedray.data import StoreError, TileStore, naming_of
from fedray.data.importing.images import ListedImage, Listing
from fedray.data.slides import CutOptions, CutReport, cut_slides
from fedray.data.slides.picture import CUT, OUTLINE, TISSUE
from tests.support.slides import Picture, write_svs, write_tiff

WriteSlides = Callable[..., Listing]


@pytest.fixture
def slides(tmp_path: Path, picture: Picture) -> WriteSlides:
    """``slides({source: label}, damaged=...)``: write slides that differ, and list them; damaged are those whose last
    pieces are zeros."""

    def write(labels: dict[str, str], damaged: tuple[str, ...] = (), **fields: dict[str, str]) -> Listing:
        listed = []
        for index, (source, label) in enumerate(labels.items()):
            path = tmp_path / "slides" / source
            path.parent.mkdir(parents=True, exist_ok=True)
            shifted = np.roll(picture, 32 * index, axis=0)
            (write_svs if path.suffix == ".svs" else write_tiff)(path, shifted)
            if source in damaged:
                _damage(path)
            more = {name: values[source] for name, values in fields.items()}
            listed.append(ListedImage(path, source, label, **more))
        return Listing(tuple(listed), roots=(tmp_path / "slides",))

    return write


def _damage(path: Path) -> None:
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        places = list(zip(page.dataoffsets, page.databytecounts, strict=True))[5:7]
    content = bytearray(path.read_bytes())
    for offset, count in places:
        content[offset : offset + count] = bytes(count)
    path.write_bytes(content)


def cut(listing: Listing, folder: Path, **options: object) -> CutReport:
    options = {"size": 64, "resolution": 1.0, "out": folder / "store", "names": "plain"} | options
    return cut_slides(listing, CutOptions(**options), "slides")  # type: ignore[arg-type]


FOUR = {"a/1.tif": "a", "a/2.svs": "a", "b/3.tif": "b", "b/4.svs": "b"}


def test_slides_become_a_store_of_tissue(slides: WriteSlides, tmp_path: Path) -> None:
    report = cut(slides(FOUR), tmp_path)
    store = report.store
    assert store.tile_size == 64 and store.label_names == ("a", "b") and store.group_kind == "patient"
    assert sorted(store.group_names) == sorted(FOUR), "each slide is a group"
    for slide in report.slides:
        assert slide.num_tiles + slide.num_background == 8 * 6 and slide.num_margin == 0
        assert 10 <= slide.num_tiles <= 26, "the tissue is 5 x 4 tiles large"
        assert slide.mpp == 0.5
    assert len(store) == sum(slide.num_tiles for slide in report.slides)
    sources = store.sources(np.arange(len(store)))
    assert sources[0].startswith("a/1.tif, x ") and len(set(sources)) == len(sources)
    groups = np.array(store.group_names)[store.groups]
    assert {source.split(",")[0] for source in sources} == set(FOUR) == set(groups)
    for group in FOUR:
        assert len(np.unique(store.splits[groups == group])) == 1, "a slide is in one split"
    assert store.tiles([0, len(store) - 1]).std() > 10


def test_the_result_does_not_depend_on_the_threads(slides: WriteSlides, tmp_path: Path) -> None:
    listing = slides(FOUR, damaged=("b/4.svs",))
    reports = [cut(listing, tmp_path, out=tmp_path / str(n), threads=n, on_error="skip") for n in (1, 4)]
    assert reports[0].store.fingerprint == reports[1].store.fingerprint
    assert reports[0].slides == reports[1].slides and reports[0].slides[3].num_unreadable > 0


def test_patients_domains_clients_and_splits_come_from_the_table(slides: WriteSlides, tmp_path: Path) -> None:
    of = dict(zip(FOUR, ["train", "test", "train", "test"], strict=True))
    patient = {source: f"patient-{split}" for source, split in of.items()}
    site = {source: f"site-{split}" for source, split in of.items()}
    store = cut(slides(FOUR, split=of, group=patient, domain=site, client=site), tmp_path).store
    assert store.group_names == ("patient-train", "patient-test")
    assert store.domain_names == ("site-test", "site-train") and set(store.client_names) == set(store.domain_names)
    assert [store.client_names[code] for code in store.clients] == [f"site-{split}" for split in store.splits]


def test_patients_in_the_names_of_slides_are_kept_together(slides: WriteSlides, tmp_path: Path) -> None:
    patients = ("a/TCGA-AA-0001", "a/TCGA-AA-0002", "b/TCGA-BB-0003", "b/TCGA-BB-0004")
    listing = slides({f"{patient}-01Z-00-DX{i}.tif": patient[0] for patient in patients for i in (1, 2)})
    with pytest.raises(StoreError, match=r"hold 4 patients or slides, such as 'TCGA-AA-0001' in 2 images"):
        cut(listing, tmp_path)
    store = cut(listing, tmp_path, group_pattern="TCGA-..-....").store
    assert set(store.group_names) == {patient[2:] for patient in patients}
    assert len(cut(listing, tmp_path, group_pattern="", overwrite=True).store.group_names) == 8


def test_a_split_counts_tiles_not_slides(slides: WriteSlides, tmp_path: Path, picture: Picture) -> None:
    """One slide of four is a fifth of the tiles: the small one is not taken for it."""
    listing = slides({f"{i}.tif": "a" for i in range(5)})
    small = np.full_like(picture, 243)
    small[:128, :256] = picture[200:328, 200:456]
    write_tiff(listing.images[0].path, small)
    report = cut(listing, tmp_path)
    tested = [slide for slide in report.slides if slide.split == "test"]
    assert [slide.source for slide in tested] != ["0.tif"] and len(tested) == 1


def test_the_mask_is_drawn_for_every_slide(slides: WriteSlides, tmp_path: Path) -> None:
    report = cut(slides(FOUR), tmp_path)
    assert report.masks == tmp_path / "store-masks"
    pictures = sorted(report.masks.iterdir())
    assert [path.name for path in pictures] == [f"000{i}-{Path(s).name}.tissue.png" for i, s in enumerate(FOUR)]
    drawn = np.asarray(Image.open(pictures[0]))
    half = drawn.shape[1] // 2
    for color, where in ((OUTLINE, np.s_[:, :half]), (CUT, np.s_[:, half:]), (TISSUE, np.s_[:, half:])):
        assert np.all(drawn[where] == color, axis=-1).any(), color


@pytest.mark.parametrize("on_error", ["fail", "skip"])
@pytest.mark.parametrize("kind", ["cannot be opened", "has damaged pieces", "states no resolution"])
def test_a_slide_that_cannot_be_read_is_named(
    slides: WriteSlides, tmp_path: Path, picture: Picture, kind: str, on_error: str
) -> None:
    five = {**FOUR, "b/5.svs": "b"}
    listing = slides(five, damaged=("b/4.svs",) if kind == "has damaged pieces" else ())
    bad = listing.images[3].path
    if kind == "cannot be opened":
        bad.write_bytes(bad.read_bytes()[:50])
    elif kind == "states no resolution":
        write_tiff(bad, picture, None, resolutionunit="NONE")
    if on_error == "fail":
        with pytest.raises(StoreError, match=f"{bad}.*--on-error skip"):
            cut(listing, tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"slides"}
        return
    report = cut(listing, tmp_path, on_error="skip")
    assert len(report.skipped) == 1 and str(bad) in report.skipped[0]
    of_bad = [slide for slide in report.slides if slide.source == "b/4.svs"]
    if kind == "has damaged pieces":
        whole = cut(slides(five), tmp_path / "whole")
        expected = next(slide for slide in whole.slides if slide.source == "b/4.svs").num_tiles
        assert of_bad[0].num_unreadable >= 4 and of_bad[0].num_tiles + of_bad[0].num_unreadable == expected
        kept = dict(zip(whole.store.sources(np.arange(len(whole.store))), range(len(whole.store)), strict=True))
        for index, source in enumerate(report.store.sources(np.arange(len(report.store)))):
            np.testing.assert_array_equal(report.store.tiles([index]), whole.store.tiles([kept[source]]))
    else:
        assert not of_bad and len(report.slides) == 4


def test_a_slide_with_several_labels_in_one_is_refused_or_left_out_as_the_message_says(
    slides: WriteSlides, tmp_path: Path
) -> None:
    listing = slides({**FOUR, "5.svs": "a|b"})
    with pytest.raises(StoreError, match=r"several labels in one, such as 'a\|b'.*--on-error skip"):
        cut(listing, tmp_path)
    report = cut(listing, tmp_path, on_error="skip")
    assert [entry.place for entry in report.left_out] == ["5.svs"] and report.store.label_names == ("a", "b")


def test_the_same_slide_twice_is_refused(slides: WriteSlides, tmp_path: Path) -> None:
    listing = slides(FOUR)
    listing.images[2].path.write_bytes(listing.images[0].path.read_bytes())
    with pytest.raises(StoreError, match=r"a/1\.tif and b/3\.tif are the same file: .* two labels"):
        cut(listing, tmp_path)


def test_slides_without_tissue_are_said(slides: WriteSlides, tmp_path: Path) -> None:
    listing = slides({**FOUR, "a/0.tif": "a"})
    write_tiff(listing.images[-1].path, np.full((512, 512, 3), 243, np.uint8))
    report = cut(listing, tmp_path)
    empty = next(slide for slide in report.slides if slide.source == "a/0.tif")
    assert (empty.num_tiles, empty.num_background) == (0, 16)
    for image in listing.images:
        write_tiff(image.path, np.full((512, 512, 3), 243 - len(image.source), np.uint8))
        os.utime(image.path)
    blank = [replace(image, path=image.path) for image in listing.images[-1:]] * 2
    with pytest.raises(StoreError, match="no slide has a tile of 64 px at 1 um per pixel with enough tissue: of 2"):
        cut(replace(listing, images=tuple(blank)), tmp_path / "second")
    assert not (tmp_path / "second" / "store").exists()


def test_a_label_in_one_slide_cannot_be_split(slides: WriteSlides, tmp_path: Path) -> None:
    one = {"a/1.tif": "p", "a/2.tif": "p", "b/3.tif": "p2", "b/4.tif": "p3"}
    with pytest.raises(StoreError, match="'a' cannot be split into train and test without separating a group"):
        cut(slides({source: source[0] for source in one}, group=one), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"slides"}


def test_no_byte_of_the_store_names_a_slide_or_patient(slides: WriteSlides, tmp_path: Path) -> None:
    patients = {source: f"Anna {source[-1]}" for source in FOUR}  # two slides each, of two labels
    report = cut(slides(FOUR, group=patients), tmp_path, names="pseudonyms", test_share=0.5)
    store, naming = report.store, naming_of("pseudonyms")
    assert set(store.group_names) == {naming("group", name) for name in patients.values()}
    places = [source.split(", x ") for source in store.sources(range(len(store)))]
    assert {name for name, _ in places} == {naming("file", source) for source in FOUR}
    content = b"".join(path.read_bytes() for path in store.path.iterdir())
    assert b"Anna" not in content and not [source for source in FOUR if source.encode() in content]
    # Whoever looks at what was taken for tissue must know of which slide.
    assert all(any(Path(source).name in mask.name for mask in report.masks.iterdir()) for source in FOUR)


def test_slides_outside_the_folder_are_refused_unless_asked_for(slides: WriteSlides, tmp_path: Path) -> None:
    listing = slides({**FOUR, "a/0.tif": "a"})
    (tmp_path / "elsewhere").mkdir()
    moved = listing.images[-1].path.rename(tmp_path / "elsewhere" / "0.tif")
    listing.images[-1].path.symlink_to(moved)
    with pytest.raises(StoreError, match=r"1 of 5 files lie outside .*slides, first a/0\.tif \(.*elsewhere/0\.tif\)"):
        cut(listing, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"slides", "elsewhere"}
    assert len(cut(listing, tmp_path, outside="allow").slides) == 5


def test_an_interrupted_job_leaves_nothing(slides: WriteSlides, tmp_path: Path) -> None:
    listing, main = slides(FOUR), threading.main_thread().ident
    assert main is not None

    def interrupt(what: str, done: int, total: int) -> None:
        if what == "cutting":
            signal.pthread_kill(main, signal.SIGINT)

    options = CutOptions(size=64, resolution=1.0, out=tmp_path / "store")
    with pytest.raises(KeyboardInterrupt):
        cut_slides(listing, options, "slides", interrupt)
    assert {path.name for path in tmp_path.iterdir()} == {"slides"}


def test_stores_and_pictures_are_replaced_only_on_request(slides: WriteSlides, tmp_path: Path) -> None:
    listing = slides(FOUR)
    first = cut(listing, tmp_path)
    with pytest.raises(StoreError, match=r"exists already; .*--overwrite"):
        cut(listing, tmp_path)
    with pytest.raises(StoreError, match="exists already; choose another --masks"):
        cut(listing, tmp_path, out=tmp_path / "other", masks=first.masks)
    (first.masks / "thesis.txt").touch()
    with pytest.raises(StoreError, match="more than pictures of masks"):
        cut(listing, tmp_path, overwrite=True)
    (first.masks / "thesis.txt").unlink()
    second = cut(listing, tmp_path, size=32, overwrite=True)
    assert second.store.tile_size == TileStore.open(tmp_path / "store").tile_size == 32
    assert len(list(second.masks.iterdir())) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 60}, "multiple of 8, but got 60"),
        ({"resolution": 0.0}, "resolution must be 0.05 to 100, but got 0"),
        ({"mpp": 353.0}, "mpp must be 0.05 to 10, but got 353"),
        ({"bits": 8}, "bits must be 9 to 16"),
        ({"tissue_share": 1.5}, "tissue_share must be 0 to 1"),
        ({"threshold": 0.0}, r"threshold must be in \(0, 1\), but got 0"),
        ({"threads": 0}, "threads must be 1 to"),
        ({"names": "all"}, "names must be 'pseudonyms' or 'plain', but got 'all'"),
        ({"outside": "ask"}, "outside must be 'refuse' or 'allow'"),
        ({"on_error": "ignore"}, "on_error must be 'fail' or 'skip'"),
        ({"resolution": float("nan")}, "resolution must be"),
    ],
)
def test_wrong_options_name_the_rule(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        CutOptions(**({"size": 64, "resolution": 1.0, "out": tmp_path} | options))  # type: ignore[arg-type]
