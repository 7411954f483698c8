"""Tables: a CSV file names the images and says what each one is."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fedray.data.importing.checks import check_images
from fedray.data.importing.columns import OPTIONAL, REQUIRED
from fedray.data.importing.images import DEFAULT_DOMAIN, ListedImage, Listing
from fedray.data.store import SPLITS, StoreError


def list_csv(file: str | Path, images: str | Path | None = None) -> Listing:
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
            missing = [column for column in REQUIRED if column not in columns]
            if missing:
                raise StoreError(
                    f"{file} must have the columns {', '.join(REQUIRED)} (and may have "
                    f"{', '.join(OPTIONAL)}), but {', '.join(missing)} is missing from {list(columns)}"
                )
            listed = [_from_row(file, reader.line_num, row, root) for row in reader]
    except OSError as error:
        raise StoreError(f"cannot read the CSV file {file}: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise StoreError(f"{file} is not a CSV file in UTF-8: {error}") from None
    _check_rows(file, listed)
    return check_images(listed, file)


def _from_row(file: Path, line: int, row: dict[str, str | None], root: Path) -> ListedImage:
    values = {column: (row.get(column) or "").strip() for column in (*REQUIRED, *OPTIONAL)}
    for column in REQUIRED:
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
