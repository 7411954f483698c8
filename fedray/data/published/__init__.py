"""Published data sets, as they lie in a folder once their archives are unpacked. One file a data set.

``source`` is what each is to the import. Those of tables are declared: ``tables`` lists their images, ``finding`` finds
and joins the tables, ``pictures`` the files. Nothing is downloaded.
"""

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from fedray.data.importing.importer import ImportOptions, ImportReport, import_images
from fedray.data.published.bcn20000 import BCN20000
from fedray.data.published.ham10000 import HAM10000
from fedray.data.published.isic2019 import ISIC2019
from fedray.data.published.source import Source, note_overlap
from fedray.data.published.tcga_crc_dx import TCGA_CRC_DX
from fedray.data.store import StoreError
from fedray.data.writing import check_target

__all__ = ["SOURCES", "Source", "import_published", "recognise"]

SOURCES: dict[str, Source] = {
    "tcga-crc-dx": TCGA_CRC_DX,
    "ham10000": HAM10000,
    "isic2019": ISIC2019,
    "bcn20000": BCN20000,
}


def recognise(folder: Path) -> str | None:
    """Return the name of the data set that a folder looks like; None: of no one."""
    if not folder.is_dir():
        return None
    return next((name for name, source in SOURCES.items() if source.is_in(folder)), None)


def import_published(
    name: str, folder: str | Path, options: ImportOptions, on_progress: Callable[[int, int], None] | None = None
) -> ImportReport:
    """Import a published data set.

    Args:
        name: One of :data:`SOURCES`.
        folder: Where its archives were unpacked, in whatever sub-folders.
        options: How images become tiles. The data set says the groups.
        on_progress: Called with the images done and all images.

    Raises:
        StoreError: The name is unknown, or the folder does not hold the data set; see
            :meth:`fedray.data.published.source.Source.list_images` and
            :func:`fedray.data.importing.importer.import_images`.
    """
    if (source := SOURCES.get(name)) is None:
        close = get_close_matches(name, SOURCES, n=1)
        raise StoreError(
            f"--source must be one of {', '.join(SOURCES)}, but got {name!r}"
            f"{f' (did you mean {close[0]!r}?)' if close else ''}"
        )
    check_target(options.out.expanduser().resolve(), options.overwrite)
    listing = source.list_images(Path(folder).expanduser(), options.val, options.on_error, options.outside)
    listing = note_overlap(listing)
    return import_images(listing, options, source.title, on_progress or (lambda done, total: None))
