"""What `ray job submit --working-dir .` sends, as Ray packs it: all a job needs, and no picture, wherever it lies."""

import shutil
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ray._private.runtime_env.packaging import create_package

from fedray.cluster.contents import not_text
from fedray.cluster.upload import UploadError, check_upload, to_be_sent
from fedray.config import DataConfig
from fedray.data import TileStore
from tests.support.cluster_files import ROOT

NEEDED = ("fedray", "jobs", "search_spaces")
FOLDERS = (
    ".", "fedray", "fedray/data", "fedray/evaluation/extractors", "fedray/photos", "fedray/data.py", "jobs", "jobs/new",
    "search_spaces", "studies", "tiles/train/gland", "tests", "docs", "my.yaml", "runs/first", ".hidden", "JOBS",
)  # fmt: skip


@pytest.fixture(scope="module", params=[True, False], ids=["gitignore counts", "gitignore does not count"])
def gitignore(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def package(gitignore: bool, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return packed(ROOT, gitignore, tmp_path_factory.mktemp("package"))


def packed(folder: Path, gitignore: bool, scratch: Path) -> zipfile.ZipFile:
    create_package(str(folder), scratch / "package.zip", include_gitignore=gitignore)
    return zipfile.ZipFile(scratch / "package.zip")


def picture(kind: str) -> bytes:
    content = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(content, kind)
    return content.getvalue()


def archive() -> bytes:
    content = BytesIO()
    np.savez(content, images=np.zeros((2, 4, 4, 3), np.uint8))
    return content.getvalue()


def array() -> bytes:
    content = BytesIO()
    np.save(content, np.zeros((2, 4, 4, 3), np.uint8))
    return content.getvalue()


FILES = {
    "a PNG picture": picture("PNG"),
    "a JPEG picture": picture("JPEG"),
    "a TIFF picture": picture("TIFF"),
    "a GIF picture": picture("GIF"),
    "a BMP picture": picture("BMP"),
    "a WebP picture": picture("WEBP"),
    "a JPEG 2000 picture": picture("JPEG2000"),
    "a PPM picture": picture("PPM"),
    "a PGM picture": b"P2\n2 2\n255\n0 255 255 0\n",
    "a DICOM file": b"\x00" * 128 + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00",
    "an Arrow file (a tile store's tiles are one)": b"ARROW1\x00\x00" + bytes(64),
    "a Parquet table": b"PAR1" + bytes(64) + b"PAR1",
    "a zip archive (.npz and PyTorch's files are some)": archive(),
    "a NumPy array": array(),
    "a NIfTI volume": b"\x5c\x01\x00\x00" + bytes(340) + b"n+1\x00",
    "a gzip archive": b"\x1f\x8b\x08" + bytes(20) + b"\xff",
    "binary data": b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100",  # DICOM as some devices write it, without its preamble
}
NAMES = ("IMG0001", "scan", "a.png", "b.JPG", "c.dcm", "1.2.840.10008", "slide.svs", "tiles.arrow", "x.npz", "p.csv")


def test_it_holds_all_that_a_job_needs(package: zipfile.ZipFile) -> None:
    needed = {
        str(path.relative_to(ROOT))
        for folder in NEEDED
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"jobs/sweep_wgan.py", "fedray/__init__.py", "search_spaces/wgan_gp.yaml"} <= needed
    missing = needed - set(package.namelist())
    assert not missing, (
        f"a new folder needs a line in .rayignore: {sorted({str(Path(name).parent) for name in missing})}"
    )


def test_it_is_small_and_text(package: zipfile.ZipFile) -> None:
    sizes = {name: package.getinfo(name).file_size for name in package.namelist()}
    largest = dict(sorted(sizes.items(), key=lambda item: -item[1])[:5])
    assert sum(sizes.values()) < 2.5 * 1024**2, f"Ray sends all of it for every job; the largest files: {largest}"
    for name in sizes:
        package.read(name).decode("utf-8")


def test_no_picture_and_no_store_goes_wherever_it_lies(gitignore: bool, small_store: TileStore, tmp_path: Path) -> None:
    tree, stays = tmp_path / "tree", set[str]()
    goes = {
        "fedray/__init__.py",
        "fedray/data/store.py",
        "jobs/mine.py",
        "search_spaces/mine.yaml",
        "mine.yaml",
        "mine.py",
    }
    goes |= {"studies/table.yaml", "fedray/evaluation/extractors/mine.py", "pyproject.toml"}
    for name in goes:
        write(tree / name, b"# text")
    for folder in FOLDERS:
        for name, content in zip(NAMES, FILES.values(), strict=False):
            write(tree / folder / name, content)
            stays.add(name)
        shutil.copytree(small_store.path, tree / folder / "store")
    (tree / "photos").symlink_to(tmp_path)
    (tree / "fedray" / "linked").symlink_to(tree / "tiles")
    for name in (".rayignore", ".gitignore"):
        shutil.copy(ROOT / name, tree / name)
    for name in (".git/HEAD", ".venv/bin/python", "fedray/__pycache__/a.pyc", "runs/a/config.yaml", "cluster.gcp.yaml"):
        write(tree / name, b"text")

    assert set(packed(tree, gitignore, tmp_path).namelist()) == goes
    assert to_be_sent(tree).sizes == dict.fromkeys(sorted(goes), 6)


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize("kind", FILES)
def test_a_picture_is_known_by_its_content(kind: str, tmp_path: Path) -> None:
    write(tmp_path / "notes.py", FILES[kind])
    assert not_text(tmp_path / "notes.py") == kind


@pytest.mark.parametrize("text", ["", "BM = 1\n", "PK: 1\n", "P3 = 'ä'\n", "# µm\n" * 30_000, "II*\n", "GIF8"])
def test_text_is_text(text: str, tmp_path: Path) -> None:
    write(tmp_path / "notes.png", text.encode())
    assert not_text(tmp_path / "notes.png") is None


@pytest.mark.parametrize("name", ["fedray/config/notes.py", "jobs/photo.py", "mine.yaml", "search_spaces/linked.yaml"])
def test_what_is_named_as_text_and_is_none_is_found(name: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    write(tree / "fedray" / "__init__.py", b"")
    write(tmp_path / "photo", FILES["a JPEG picture"] + bytes(2_000_000))
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).symlink_to(tmp_path / "photo")
    shutil.copy(ROOT / ".rayignore", tree)
    package = to_be_sent(tree)
    assert package.what_is_refused() == f"{name} (a JPEG picture, 2.0 MB)"
    assert str(package).startswith("2 file(s), 2.0 MB: ")


@pytest.fixture
def submitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where Ray puts what came with a job."""
    folder = tmp_path / "session_1" / "runtime_resources" / "working_dir_files" / "_ray_pkg_1"
    write(folder / "jobs" / "train_gan.py", b"pass\n")
    write(folder / "jobs" / "__pycache__" / "train_gan.cpython-311.pyc", b"\xa7\r\r\n")
    monkeypatch.chdir(folder)
    return folder


def test_a_submitted_job_says_what_came_with_it(submitted: Path) -> None:
    assert str(check_upload(DataConfig())) == "1 file(s), 5 B: jobs 5 B"


def test_a_submitted_job_refuses_what_must_not_have_come(submitted: Path) -> None:
    write(submitted / "mnt" / "Patient 7.PNG", FILES["a PNG picture"])
    for i in range(7):
        write(submitted / f"scan{i}", FILES["a DICOM file"])
    with pytest.raises(UploadError) as caught:
        check_upload(DataConfig())
    message = str(caught.value)
    assert "holds 8 file(s) that are no source text: mnt/Patient 7.PNG (a PNG picture, " in message
    assert "(a DICOM file, " in message and "3 more" in message
    assert str(submitted) in message and ".rayignore" in message and "--upload s3://" in message


def test_data_that_stayed_behind_are_named(submitted: Path, small_store: TileStore) -> None:
    with pytest.raises(
        UploadError, match=r"data.store is 'tiles', a path, .* no tiles travel with it: .*--upload s3://"
    ):
        check_upload(DataConfig(store="tiles"))
    for store in (str(small_store.path), "colon", "s3://bucket/tiles"):
        assert check_upload(DataConfig(store=store))


def test_outside_of_a_submitted_job_nothing_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.png", FILES["a PNG picture"])
    assert check_upload(DataConfig(store="nowhere")) is None
