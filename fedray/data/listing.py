"""Which images are imported: from label folders or from a CSV file, checked before the first one is decoded."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedray.data.store import SPLITS, StoreError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
DEFAULT_DOMAIN = "default"
_THIRD_SPLITS = ("val", "valid", "validation", "dev")
_REQUIRED_COLUMNS = ("image", "label")
_OPTIONAL_COLUMNS = ("domain", "group", "split")


@dataclass(frozen=True)
class ListedImage:
    """One image that is to become a tile."""

    path: Path
    source: str
    """Path as it is shown and stored: relative to the images' folder."""
    label: str
    domain: str = DEFAULT_DOMAIN
    group: str = ""
    """Patient or slide; unset: the image is a group of its own."""
    split: str | None = None
    """'train' or 'test'; None: not split yet."""


def list_folder(folder: str | Path) -> list[ListedImage]:
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
        return _checked(list(_list_labels(folder, folder, None)), folder)
    return _checked([image for split in SPLITS for image in _list_labels(folder / split, folder, split)], folder)


def list_csv(file: str | Path, images: str | Path | None = None) -> list[ListedImage]:
    """List the images of a CSV file with the columns image, label and, optionally, domain, group and split.

    Args:
        file: The CSV file, UTF-8, with a header; other columns are ignored.
        images: Folder that the paths in the column ``image`` start from; unset: the CSV file's folder.

    Raises:
        StoreError: The file or an image is missing, a column is missing, or a row breaks a rule; the row is named.
    """
    file = Path(file).expanduser()
    root = Path(images).expanduser() if images is not None else file.parent
    if not root.is_dir():
        raise StoreError(
            f"the images' folder {root} does not exist; give the folder that the CSV file's paths start from"
        )
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            columns = reader.fieldnames or []
            missing = [column for column in _REQUIRED_COLUMNS if column not in columns]
            if missing:
                raise StoreError(
                    f"{file} must have the columns {', '.join(_REQUIRED_COLUMNS)} (and may have "
                    f"{', '.join(_OPTIONAL_COLUMNS)}), but {', '.join(missing)} is missing from {list(columns)}"
                )
            listed = [_from_row(file, reader.line_num, row, root) for row in reader]
    except OSError as error:
        raise StoreError(f"cannot read the CSV file {file}: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise StoreError(f"{file} is not a CSV file in UTF-8: {error}") from None
    _check_rows(file, listed)
    return _checked(listed, file)


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


def _from_row(file: Path, line: int, row: dict[str, str | None], root: Path) -> ListedImage:
    values = {column: (row.get(column) or "").strip() for column in (*_REQUIRED_COLUMNS, *_OPTIONAL_COLUMNS)}
    for column in _REQUIRED_COLUMNS:
        if not values[column]:
            raise StoreError(f"{file}, line {line}: the column {column} must not be empty")
    if values["split"] and values["split"] not in SPLITS:
        raise StoreError(f"{file}, line {line}: split must be 'train' or 'test', but got {values['split']!r}")
    return ListedImage(
        root / values["image"],
        values["image"],
        values["label"],
        values["domain"] or DEFAULT_DOMAIN,
        values["group"],
        values["split"] or None,
    )


def _check_rows(file: Path, listed: Sequence[ListedImage]) -> None:
    """Check what only shows over all rows: repeats, missing files, half-filled columns, groups in both splits."""
    repeated = [source for source, count in Counter(image.source for image in listed).items() if count > 1]
    if repeated:
        raise StoreError(
            f"{file} names {len(repeated)} images more than once, first {repeated[0]}; keep one row of each"
        )
    absent = [image.path for image in listed if not image.path.is_file()]
    if absent:
        raise StoreError(
            f"{file} names {len(absent)} files that do not exist, first {absent[0]}; paths start from --images, or "
            "from the CSV file's folder"
        )
    unsplit = [image.source for image in listed if image.split is None]
    if unsplit and len(unsplit) < len(listed):
        raise StoreError(
            f"{file}: {len(unsplit)} rows have no split, first {unsplit[0]}; fill the column or leave it out"
        )
    split_of: dict[str, str | None] = {}
    for image in listed:
        if image.group and split_of.setdefault(image.group, image.split) != image.split:
            raise StoreError(
                f"{file}: the group {image.group!r} is in both splits, but a patient or slide must be in one of them"
            )


def _checked(listed: list[ListedImage], origin: Path) -> list[ListedImage]:
    """Check that there are images, and enough of each label."""
    if not listed:
        raise StoreError(
            f"{origin} names no image; it must hold one folder a label, with images ({' '.join(EXTENSIONS)})"
        )
    for label, count in Counter(image.label for image in listed).items():
        if count < 2:
            raise StoreError(
                f"the label {label!r} must have at least 2 images, 1 to train and 1 to test, but has {count} in "
                f"{origin}; add images or remove the label"
            )
    check_label_splits([(image.label, image.split) for image in listed if image.split], str(origin))
    return listed


def check_label_splits(pairs: Sequence[tuple[str, str | None]], origin: str) -> None:
    """Check that every label is in both splits.

    Raises:
        StoreError: A label has images in one split only.
    """
    present = set(pairs)
    for label in sorted({label for label, _ in pairs}):
        for split in SPLITS:
            if (label, split) not in present:
                raise StoreError(
                    f"the label {label!r} must have images in train and in test, but has none in {split} ({origin}); "
                    "add some or remove the label"
                )
