"""What lies in a folder: the images, and all else with the reason why it is none. Every file is one or the other."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fedray.data.decoding import EXTENSIONS, is_image
from fedray.data.importing.images import LeftOut
from fedray.data.store import METADATA_FILE, TILES_FILE, StoreError

SYSTEM = "left by an operating system, an editor or a tool, or hidden"
ICLOUD = "a placeholder of iCloud: download the file to import it"
UNFINISHED = "a backup, a temporary file or an unfinished download"
ARCHIVE = "an archive: unpack it to import what is in it"
ZARR = "an image in the folders of Zarr: export its pictures to import them"
FILM = "a film: export its pictures to import them"
ARRAYS = "a file of arrays: a MedMNIST file is imported with --medmnist"
TABLE = "a table: --csv imports the pictures that it names"
NO_IMAGE = "no image"
LINK = "a link to a folder that is read at its own place"
STORE = "a tile store"
STORE_MASKS = "pictures of the tissue that was cut into a tile store"
MASK = "a mask of another picture"
SPECIAL = "a link to nothing, or no ordinary file"

_SYSTEM_NAMES = {
    "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "autorun.inf", "icon\r", "picasa.ini",
    "zbthumbnail.info", "pspbrwse.jbf", "dicomdir",
    "__macosx", "lost+found", "$recycle.bin", "recycler", "recycled", "system volume information", "found.000",
    "@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "~snapshot", "network trash folder",
    "temporary items", "thevolumesettingsfolder", "resource.frk", "__pycache__",
}  # fmt: skip
"""Names in lower case. A DICOMDIR is a medium's list of its files."""
_SYSTEM_PATTERN = re.compile(r"\..*|~\$.*|.*@syno(eastream|resource)|.*:zone\.identifier|synofile_thumb.*", re.DOTALL)
_UNFINISHED_PATTERN = re.compile(
    r".*(~|\.(bak|orig|old|swp|swo|tmp|temp|part|partial|crdownload|download|filepart|aria2|lock|lck))|#.*#"
)
_KINDS = {
    ARCHIVE: "zip tar gz tgz bz2 tbz xz txz zst 7z rar",
    FILM: "mp4 avi mov mkv wmv mpg mpeg m4v webm",
    ARRAYS: "npz npy mat pkl pt arrow parquet",
    TABLE: "csv tsv tab xls xlsx ods",
}
_REASON = {f".{ending}": reason for reason, endings in _KINDS.items() for ending in endings.split()}

_MASK_NAME = re.compile(
    r"(?P<picture>.+?)[ _.-](?:mask|seg|segm|segmentation|groundtruth|gt|anno|annotation)s?(?:[ _.-]?\d+)?",
    re.IGNORECASE,
)
_MASK_FOLDERS = {"mask", "masks", "segmentation", "segmentations", "groundtruth", "ground_truth", "gt", "annotations"}
_PICTURE_FOLDERS = {
    "image",
    "images",
    "img",
    "imgs",
    "picture",
    "pictures",
    "tiles",
    "patches",
    "original",
    "originals",
}
_TABLE_NAME = re.compile(r"metadata|ground_?truth|labels|annotations", re.IGNORECASE)
_ARCHIVE_HEAD = re.compile(rb"PK\x03\x04|\x1f\x8b|BZh|\xfd7zXZ\x00|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|\x28\xb5\x2f\xfd")


@dataclass(frozen=True)
class Contents:
    """What lies in a folder. Paths are relative to it, sorted."""

    root: Path
    images: tuple[PurePosixPath, ...]
    folders: tuple[PurePosixPath, ...]
    """Folders at any depth, without those that a system left behind."""
    left_out: tuple[LeftOut, ...]

    def below(self, folder: str) -> "Contents":
        """Return what lies in one of the folders, with paths relative to that."""

        def inside(paths: Iterable[PurePosixPath]) -> tuple[PurePosixPath, ...]:
            return tuple(path.relative_to(folder) for path in paths if path.parts[0] == folder and len(path.parts) > 1)

        left_out = tuple(
            LeftOut(entry.place.removeprefix(f"{folder}/"), entry.reason)
            for entry in self.left_out
            if entry.place.startswith(f"{folder}/")
        )
        return Contents(self.root / folder, inside(self.images), inside(self.folders), left_out)


def list_contents(folder: str | Path) -> Contents:
    """Sort all that lies in a folder, at any depth, into images and what is none.

    A file is an image by its ending, or by its content where the ending is an unknown one or missing. What an operating
    system or editor left behind is none, wherever it lies. Links to files and to folders elsewhere are followed.

    Raises:
        StoreError: The folder, or one in it, is missing or cannot be read, or a name is not valid UTF-8.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        state = (
            f"is no folder, but {'an image' if is_image(root) else _kind(root)}" if root.exists() else "does not exist"
        )
        raise StoreError(f"the images' folder {root} {state}; give the folder that holds the images")
    images: list[PurePosixPath] = []
    folders: list[PurePosixPath] = []
    left_out: list[LeftOut] = []
    seen: set[str] = {os.path.realpath(root)}
    for here, names, files in os.walk(root, followlinks=True, onerror=_refuse_unreadable):
        relative = PurePosixPath(Path(here).relative_to(root).as_posix())
        kept = []
        for name in sorted(names):
            reason = _reason_folder_left_out(Path(here, _readable(name, here)), root, seen)
            if reason is None:
                kept.append(name)
                folders.append(relative / name)
            else:
                left_out.append(LeftOut(f"{relative / name}/", reason))
        names[:] = kept  # what os.walk goes on with
        for name in sorted(files):
            reason = reason_left_out(Path(here, _readable(name, here)))
            if reason is None:
                images.append(relative / name)
            else:
                left_out.append(LeftOut(str(relative / name), reason))
    images, masks = _without_masks(sorted(images))
    left_out += [LeftOut(str(path), MASK) for path in masks]
    of_masks = {folder for path in masks for folder in path.parents} - {f for path in images for f in path.parents}
    folders = [folder for folder in folders if folder not in of_masks]
    return Contents(root, tuple(images), tuple(sorted(folders)), tuple(left_out))


def reason_left_out(file: Path) -> str | None:
    """Return why a file is no image to import, or None where it is one.

    A damaged, empty or unreadable file with a picture's ending is an image: decoding it says what is wrong with it.
    """
    name, ending = file.name.lower(), file.suffix.lower()
    if name.startswith(".") and name.endswith(".icloud"):
        return ICLOUD
    if _is_system(file.name):
        return SYSTEM
    if _UNFINISHED_PATTERN.fullmatch(name):
        return UNFINISHED
    if not os.path.isfile(file) and (os.path.exists(file) or ending not in EXTENSIONS):
        return SPECIAL  # opening a pipe would wait for ever
    if is_image(file):
        return None
    return _kind(file)


def count_reasons(left_out: Iterable[LeftOut]) -> list[tuple[str, int]]:
    """Return each reason with its number of entries, the most frequent first."""
    return sorted(Counter(entry.reason for entry in left_out).items(), key=lambda item: (-item[1], item[0]))


def describe_reasons(left_out: Iterable[LeftOut]) -> str:
    """Return the counted reasons for an error's message: empty where nothing was left out."""
    counted = "; ".join(f"{count} x {reason}" for reason, count in count_reasons(left_out))
    return f"left out: {counted}" if counted else ""


def _kind(file: Path) -> str:
    """Return what a file is that is no image."""
    if (reason := _REASON.get(file.suffix.lower())) is not None:
        return reason
    if file.suffix.lower() in ("", ".txt") and _TABLE_NAME.search(file.stem):
        return TABLE
    return ARCHIVE if _begins_as_archive(file) else NO_IMAGE


def _is_store(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (METADATA_FILE, TILES_FILE))


def _without_masks(images: list[PurePosixPath]) -> tuple[list[PurePosixPath], list[PurePosixPath]]:
    """Part pictures from masks.

    A mask is named as another picture beside it with ``_mask`` or the like, or lies in a folder of masks beside one of
    pictures, under the name of a picture there.
    """
    stems = {(path.parent, path.stem) for path in images}

    def is_mask(path: PurePosixPath) -> bool:
        if (named := _MASK_NAME.fullmatch(path.stem)) is not None and (path.parent, named["picture"]) in stems:
            return True
        if path.parent.name.lower() not in _MASK_FOLDERS:
            return False
        picture = named["picture"] if named is not None else path.stem
        return any((path.parent.with_name(name), picture) in stems for name in beside[path.parent.parent])

    beside: defaultdict[PurePosixPath, list[str]] = defaultdict(list)
    for folder in dict.fromkeys(path.parent for path in images):
        if folder.name.lower() in _PICTURE_FOLDERS:
            beside[folder.parent].append(folder.name)
    masks = [path for path in images if is_mask(path)]
    found = set(masks)
    return [path for path in images if path not in found], masks


def _begins_as_archive(file: Path) -> bool:
    try:
        with file.open("rb") as content:
            return _ARCHIVE_HEAD.match(content.read(8)) is not None
    except OSError:
        return False


def _is_system(name: str) -> bool:
    return name.lower() in _SYSTEM_NAMES or _SYSTEM_PATTERN.fullmatch(name.lower()) is not None


def _reason_folder_left_out(folder: Path, root: Path, seen: set[str]) -> str | None:
    """Return why a folder is not searched, or None where it is; ``seen`` grows by the folders that links lead to."""
    if _is_system(folder.name):
        return SYSTEM
    if _UNFINISHED_PATTERN.fullmatch(folder.name.lower()):
        return UNFINISHED
    if folder.suffix.lower() in (".zarr", ".n5"):
        return ZARR
    if _is_store(folder):
        return STORE
    if folder.name.endswith("-masks") and _is_store(folder.with_name(folder.name.removesuffix("-masks"))):
        return STORE_MASKS
    if not folder.is_symlink():
        return None
    # A link to what is read anyway would read it twice, and one to what lies above leads round in circles.
    real, real_root = os.path.realpath(folder), os.path.realpath(root)
    inside = Path(real).is_relative_to(real_root)
    read_anyway = inside and not any(_is_system(part) for part in Path(real).relative_to(real_root).parts)
    if read_anyway or Path(real_root).is_relative_to(real) or real in seen:
        return LINK
    seen.add(real)
    return None


def _readable(name: str, here: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise StoreError(
            f"a name in {os.fsencode(here)!r} is not valid UTF-8: {os.fsencode(name)!r}; rename it, for example with "
            "the tool convmv"
        ) from None
    return name


def _refuse_unreadable(error: OSError) -> None:
    raise StoreError(
        f"the folder {error.filename} cannot be read ({error.strerror}), so nobody knows what is in it; make it "
        "readable, or move it elsewhere"
    )
