"""Every registered data set, rebuilt in small: it imports, keeps groups together, and leaves nothing where it fails."""

from pathlib import Path

import pytest

from fedray.data import SOURCES, ImportOptions, StoreError, TileStore, import_published
from tests.support.published import LAYOUTS

LABELS = {
    "tcga-crc-dx": ("MSI-high", "MSS"),
    "ham10000": ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"),
    "isic2019": ("AK", "BCC", "BKL", "DF", "MEL", "NV", "SCC", "VASC"),
    "bcn20000": ("AK", "BCC", "BKL", "DF", "MEL", "NV", "SCC", "VASC"),
}
DOMAINS = {
    "ham10000": ("rosendahl", "vidir_modern", "vidir_molemax", "vienna_dias"),
    "isic2019": ("BCN", "HAM", "MSK", "unknown"),
}
COUNTS = {"tcga-crc-dx": (12, 12), "ham10000": (42, 14), "isic2019": (32, 16), "bcn20000": (16, 16)}


def groups_in_both(store: TileStore) -> set[int]:
    train, test = (set(store.groups[store.indices(split)].tolist()) for split in ("train", "test"))
    return train & test


@pytest.mark.parametrize("name", SOURCES)
def test_its_layout_becomes_a_store(name: str, tmp_path: Path) -> None:
    LAYOUTS[name](tmp_path / "set")
    options = ImportOptions(size=16, out=tmp_path / "store", test_share=0.5)
    store = import_published(name, tmp_path / "set", options).store
    assert store.label_names == LABELS[name] and store.domain_names == DOMAINS.get(name, ("default",))
    assert (len(store.indices("train")), len(store.indices("test"))) == COUNTS[name]
    assert groups_in_both(store) == set()
    assert SOURCES[name].title in store.source


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_not_there_is_one_clear_message(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    options = ImportOptions(size=16, out=tmp_path / "store")
    for folder in ("empty", "absent"):
        with pytest.raises(StoreError) as refused:
            import_published(name, tmp_path / folder, options)
        assert str(tmp_path / folder) in str(refused.value) and "\n" not in str(refused.value)
    (tmp_path / "empty" / "TRAIN.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(StoreError, match="1 x an archive: unpack it to import what is in it"):
        import_published(name, tmp_path / "empty", options)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize("name", SOURCES)
def test_a_damaged_picture_leaves_no_store(name: str, tmp_path: Path) -> None:
    LAYOUTS[name](tmp_path / "set")
    sorted((tmp_path / "set").rglob("*.[jp][pn]g"))[-1].write_text("no picture")
    with pytest.raises(StoreError, match="cannot decode the image"):
        import_published(name, tmp_path / "set", ImportOptions(size=16, out=tmp_path / "store"))
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    report = import_published(
        name, tmp_path / "set", ImportOptions(size=16, out=tmp_path / "store", on_error="skip", test_share=0.5)
    )
    assert len(report.skipped) == 1 and len(report.store) == sum(COUNTS[name]) - 1


def test_every_data_set_is_rebuilt() -> None:
    assert set(LAYOUTS) == set(SOURCES)


def test_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"--source must be one of tcga-crc-dx, .*, but got 'ham1000' \(did you mean"):
        import_published("ham1000", tmp_path, ImportOptions(size=16, out=tmp_path / "store"))
