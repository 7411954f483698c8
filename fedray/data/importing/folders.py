"""Label folders: which files are listed, and which level of the folders is the label."""

from collections.abc import Iterator
from pathlib import Path

from fedray.data.decoding import EXTENSIONS
from fedray.data.importing.checks import check_images
from fedray.data.importing.images import ListedImage, Listing
from fedray.data.store import SPLITS, StoreError

_THIRD_SPLITS = ("val", "valid", "validation", "dev")


def list_folder(folder: str | Path) -> Listing:
    """List the images of label folders, sorted: ``LABEL/*.png``, or ``train/LABEL/*`` and ``test/LABEL/*``.

    Folders inside a label folder are searched too; hidden files and files with other extensions are ignored.

    Raises:
        StoreError: The folder is missing or empty, its layout is neither of the two, or a label has no image.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise StoreError(f"the images' folder {folder} does not exist; give the folder that holds the label folders")
    names = [entry.name for entry in _folders(folder)]
    third = [name for name in names if name.lower() in _THIRD_SPLITS]
    has_splits = any(name in SPLITS for name in names)
    if has_splits and third:
        raise StoreError(
            f"{folder} has a folder {third[0]!r}, but a tile store has two splits, train and test; move its images "
            "into one of them, or name the images in a CSV file (--csv) with the split of each"
        )
    if has_splits and sorted(names) != sorted(SPLITS):
        raise StoreError(
            f"{folder} must hold either the folders train and test or label folders only, but holds {sorted(names)}"
        )
    if not has_splits:
        return check_images(list(_list_labels(folder, folder, None)), folder)
    return check_images([image for split in SPLITS for image in _list_labels(folder / split, folder, split)], folder)


def _folders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _list_labels(folder: Path, root: Path, split: str | None) -> Iterator[ListedImage]:
    for label in _folders(folder):
        files = sorted(
            file
            for file in label.rglob("*")
            if file.suffix.lower() in EXTENSIONS and not file.name.startswith(".") and file.is_file()
        )
        if not files:
            raise StoreError(
                f"the label folder {label} has no image ({' '.join(EXTENSIONS)}); add images or remove the folder"
            )
        for file in files:
            yield ListedImage(file, file.relative_to(root).as_posix(), label.name, split=split)
