"""Stores call patients and files by keyed hashes: what they hide, what they keep, and whose the key is."""

import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from fedray.data import ImportOptions, StoreError, TileStore, import_csv, write_store
from fedray.data.pseudonyms import Pseudonyms, key_file, naming_of
from fedray.data.writing import content_fingerprint
from tests.support.dicoms import write_dicom
from tests.support.rewriting import rewrite
from tests.support.small import WriteImages, random_tiles

KEY = "a long secret of yours"


def hmac_sha256(key: bytes, text: bytes) -> str:
    """HMAC as RFC 2104 writes it: H(K xor opad, H(K xor ipad, text))."""
    block = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + text).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in block) + inner).hexdigest()


def hospital(folder: Path, rows: slice = slice(None)) -> Path:
    """Write a table of the pictures in a folder: two of each patient, who are named, one with umlauts."""
    patients = [f"Müller, Anna {i // 2}" for i in range(8)]
    table = [f"x/{i}.png,{'ab'[i % 2]},{patients[i]}" for i in range(8)]
    (folder / "list.csv").write_text(
        "\n".join(["image;label;group", *(row.replace(",", ";", 2) for row in table[rows])])
    )
    return folder / "list.csv"


def imported(table: Path, out: Path, **options: object) -> TileStore:
    return import_csv(table, ImportOptions(size=16, out=out, test_share=0.25, **options)).store  # type: ignore[arg-type]


def keyed(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("FEDRAY_PATIENT_KEY", key)


def test_no_byte_of_a_store_names_a_patient_or_file(
    write_images: WriteImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = hospital(write_images({"x": 8}))
    for names, named in (("pseudonyms", False), ("plain", True)):
        store = imported(table, tmp_path / names, names=names)
        content = b"".join(path.read_bytes() for path in store.path.iterdir())
        assert store.names == TileStore.open(store.path).names == names
        assert ["Müller".encode() in content, b"x/3.png" in content] == [named, named]
        assert key_file().read_bytes().strip() not in content and bytes.fromhex(key_file().read_text()) not in content
    keyed(monkeypatch, KEY)
    content = b"".join(path.read_bytes() for path in imported(table, tmp_path / "environment").path.iterdir())
    assert KEY.encode() not in content and "Müller".encode() not in content


def test_a_pseudonym_is_the_hmac_of_what_it_stands_for(
    write_images: WriteImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyed(monkeypatch, KEY)
    store = imported(hospital(write_images({"x": 8})), tmp_path / "store")
    patients = [hmac_sha256(KEY.encode(), f"group\0Müller, Anna {i}".encode())[:20] for i in range(4)]
    assert store.group_names == tuple(f"group-{digest}" for digest in patients)
    files = [hmac_sha256(KEY.encode(), f"file\0x/{i}.png".encode())[:20] for i in range(8)]
    assert store.sources(range(8)) == [f"file-{digest}" for digest in files]
    # A patient who is called as a file is, and bytes that are no text, as folders may have them.
    names = Pseudonyms(KEY.encode(), "")
    assert names("group", "x")[-20:] != names("file", "x")[-20:] and names("file", "\udcff") != names("file", "?")


def test_only_names_differ_from_those_of_a_plain_store(write_images: WriteImages, tmp_path: Path) -> None:
    table = hospital(write_images({"x": 8}))
    store, plain = imported(table, tmp_path / "store"), imported(table, tmp_path / "plain", names="plain")
    for read in (lambda s: s.labels, lambda s: s.groups, lambda s: s.splits, lambda s: s.tiles(slice(None))):
        np.testing.assert_array_equal(read(store), read(plain))
    assert store.fingerprint != plain.fingerprint
    assert content_fingerprint(store) == store.fingerprint and content_fingerprint(plain) == plain.fingerprint


def test_one_key_knows_patients_again_and_another_does_not(
    write_images: WriteImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_images({"x": 8})
    early, late = hospital(folder, slice(0, 6)), slice(2, 8)
    keyed(monkeypatch, KEY)
    first = imported(early, tmp_path / "first")
    second = imported(hospital(folder, late), tmp_path / "second")
    assert len(set(first.group_names) & set(second.group_names)) == 2  # of three each
    assert first.sources([2, 3, 4, 5]) == second.sources([0, 1, 2, 3])
    keyed(monkeypatch, f"{KEY}, another")
    other = imported(hospital(folder, late), tmp_path / "other")
    assert not set(second.group_names) & set(other.group_names)
    # The same tiles, split alike: a colleague with the archives and a key of their own has the same store.
    assert other.fingerprint == second.fingerprint


def test_what_stands_in_dicom_files_is_kept_with_the_key_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = ["image,label"]
    for i in range(8):
        write_dicom(tmp_path / f"{i}.dcm", rng.integers(0, 256, (24, 24, 3), dtype=np.uint8), PatientID=f"P{i // 2}")
        rows.append(f"{i}.dcm,{'ab'[i % 2]}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    stores = [imported(tmp_path / "list.csv", tmp_path / "file")]
    keyed(monkeypatch, KEY)
    stores.append(imported(tmp_path / "list.csv", tmp_path / "environment"))
    assert [len(store.group_names) for store in stores] == [4, 4]
    assert not set(stores[0].group_names) & set(stores[1].group_names)
    assert stores[0].fingerprint == stores[1].fingerprint
    assert "patient-" not in "".join(stores[0].group_names)


def test_errors_name_patients_and_files_to_who_has_them(write_images: WriteImages, tmp_path: Path) -> None:
    folder = write_images({"x": 8})
    table = hospital(folder)
    table.write_text(table.read_text() + "\nx/9.png;a;Müller, Anna 0")
    with pytest.raises(StoreError, match=r"x/9\.png"):
        imported(table, tmp_path / "store")
    hospital(folder)
    (folder / "x" / "3.png").write_text("no picture")
    with pytest.raises(StoreError, match=r"x/3\.png"):
        imported(table, tmp_path / "store")


def test_the_summary_says_where_the_key_is(write_images: WriteImages, tmp_path: Path) -> None:
    table = hospital(write_images({"x": 8}))
    [note] = import_csv(table, ImportOptions(size=16, out=tmp_path / "store")).notes
    assert str(key_file()) in note and "--names plain" in note


def test_the_key_is_made_once_and_for_one_user(tmp_path: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    together = Barrier(8)

    def name_anna(_: int) -> str:
        together.wait()
        return naming_of("pseudonyms", home)("group", "Anna")

    with ThreadPoolExecutor(8) as at_once:
        made = set(at_once.map(name_anna, range(8)))
    file = key_file(home)
    assert len(made) == 1 and [path.name for path in file.parent.iterdir()] == [file.name]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and len(bytes.fromhex(file.read_text())) == 32
    elsewhere = naming_of("pseudonyms", {"XDG_CONFIG_HOME": str(tmp_path / "other")})
    assert elsewhere("group", "Anna") not in made


def spoilt(file: Path, state: str) -> None:
    naming_of("pseudonyms", {"XDG_CONFIG_HOME": str(file.parent.parent)})
    if state == "others can read it":
        file.chmod(0o640)
    elif state == "cut":
        file.write_text(file.read_text()[:20])
    elif state == "a folder":
        file.unlink()
        file.mkdir(mode=0o700)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("others can read it", r"must be readable by you alone: chmod 600 .*patient\.key, or set FEDRAY_PATIENT_KEY"),
        ("cut", r"patient\.key is damaged: it must be 64 hexadecimal digits"),
        ("a folder", r"cannot be read or made \(.*patient\.key.*set FEDRAY_PATIENT_KEY, or keep .*--names plain"),
    ],
)
def test_a_key_that_is_no_secret_or_no_key_ends_the_import_before_it_reads(
    write_images: WriteImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, message: str
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    spoilt(key_file(), state)
    with pytest.raises(StoreError, match=message):
        imported(hospital(write_images({"x": 8})), tmp_path / "store")
    assert {path.name for path in tmp_path.iterdir()} == {"config", "images"}
    imported(tmp_path / "images" / "list.csv", tmp_path / "store", names="plain")


def test_a_secret_that_can_be_guessed_is_none() -> None:
    with pytest.raises(StoreError, match=r"FEDRAY_PATIENT_KEY must have at least 16 characters.*but has 6; make one"):
        naming_of("pseudonyms", {"FEDRAY_PATIENT_KEY": "secret"})


def test_a_folder_for_the_key_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file")
    with pytest.raises(StoreError, match=r"cannot be read or made \(.*config.*FEDRAY_PATIENT_KEY.*--names plain"):
        naming_of("pseudonyms", {"XDG_CONFIG_HOME": str(tmp_path / "config")})


def test_stores_from_before_there_were_pseudonyms_are_what_they_were(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", random_tiles(), label_names=["dark", "bright"])
    rewrite(store.path / "store.json", lambda record: record.pop("names"))
    opened = TileStore.open(store.path)
    assert (opened.names, content_fingerprint(opened)) == ("plain", store.fingerprint)
