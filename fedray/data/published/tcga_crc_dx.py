"""Tiles of colorectal cancer from TCGA by microsatellite status (Kather et al. 2019, 2020), in folders that say it.

Two archives, doi:10.5281/zenodo.2530835 (224 px) and doi:10.5281/zenodo.3832231 (512 px), and copies of them, name the
folders in several ways. The patient stands in the tile's name.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fedray.data.importing.contents import Contents, describe_reasons, list_contents
from fedray.data.importing.images import LeftOut, ListedImage, Listing, OnError
from fedray.data.importing.outside import OutsideChoice
from fedray.data.importing.splits import LEFT_OUT_VALIDATION, FoundSplit, ValidationChoice, settle_split, split_named
from fedray.data.published.source import without_lone_split
from fedray.data.store import StoreError

OUTSIDE = "a picture in no folder of a microsatellite status"
NO_PATIENT = "a tile whose name holds no patient of TCGA"
OTHER_COHORT = {"STAD": "a tile of stomach cancer (STAD)", "KR": "a tile of frozen sections (CRC_KR)"}

MSI, MSS = "MSI-high", "MSS"
_STATUS = {"MSIMUT": MSI, "MSIH": MSI, "MSIHIGH": MSI, "MSI": MSI, "MSS": MSS, "NONMSIH": MSS, "NONMSI": MSS}
"""Names of folders, in capitals and without marks: highly mutated counts with MSI-high, MSI-low with stable."""

_WORD = r"(?<![A-Z])({})(?![A-Z])"
_STATUS_WORD = re.compile(_WORD.format(r"NON_?MSI_?H|NON_?MSI|MSI_?MUT|MSI_?HIGH|MSI_?H|MSI|MSS"))
_SPLIT_WORD = re.compile(_WORD.format("TRAIN|TRAINING|TEST|TESTING|VAL|VALID|VALIDATION"))
_COHORT_WORD = re.compile(_WORD.format("|".join(OTHER_COHORT)))
_PATIENT = re.compile(r"(?<![A-Z0-9])TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}(?![A-Z0-9])")


@dataclass(frozen=True)
class _Place:
    """What the folders above a tile say."""

    spelling: str
    """Of the status; empty: they name none."""
    split: FoundSplit | None
    cohort: str
    """Another than colorectal cancer from paraffin; empty: that."""

    @property
    def status(self) -> str:
        return _STATUS[self.spelling]


class TcgaCrcDx:
    """Microsatellite instable and stable tiles of colorectal cancer; a :class:`fedray.data.published.source.Source`."""

    title = "TCGA-CRC-DX"

    def is_in(self, folder: Path) -> bool:
        """Whether folders of both statuses lie in a folder, or in folders of it."""
        names = [PurePosixPath(name) for pattern in ("*", "*/*") for name in folder.glob(pattern)]
        plain = [re.sub(r"[^A-Z]+", "_", name.name.upper()) for name in names if not name.suffix]
        return {_STATUS[word] for word in _words(plain, _STATUS_WORD, _STATUS.__getitem__)} == {MSI, MSS}

    def list_images(
        self, folder: Path, validation: ValidationChoice | None, on_error: OnError, outside: OutsideChoice = "refuse"
    ) -> Listing:
        """List the tiles of all folders of a status; see :meth:`fedray.data.published.source.Source.list_images`."""
        contents = list_contents(folder)
        places = {parent: _read_names(contents.root, parent) for parent in {path.parent for path in contents.images}}
        tiles = [p for p in contents.images if (place := places[p.parent]).spelling and not place.cohort]
        left_out = [*contents.left_out, *_not_of_the_set(contents, places)]
        _check_statuses(contents, places, tiles, left_out)
        _check_splits(contents.root, places, tiles)
        _check_once(contents.root, tiles)
        images: list[ListedImage] = []
        nameless: list[str] = []
        for path in tiles:
            place = places[path.parent]
            found = place.split and settle_split(place.split, validation, f"the folder {contents.root / path.parent}")
            if place.split and not found:
                left_out.append(LeftOut(str(path), LEFT_OUT_VALIDATION))
            elif (patient := _PATIENT.search(path.name.upper())) is None:
                nameless.append(str(path))
            else:
                images.append(
                    ListedImage(contents.root / path, str(path), place.status, group=patient[0], split=found or None)
                )
        _check_patients(contents.root, nameless, on_error)
        left_out += (LeftOut(path, NO_PATIENT) for path in nameless)
        notes = [*_found_folders(places, tiles), *_patients_of_both(images)]
        return without_lone_split(Listing(tuple(images), tuple(left_out), tuple(notes), (contents.root,)))


TCGA_CRC_DX = TcgaCrcDx()


def _read_names(root: Path, folder: PurePosixPath) -> _Place:
    """Read the status, the split and the cohort that the names of a folder and those above it hold.

    Raises:
        StoreError: They contradict each other.
    """
    names = [re.sub(r"[^A-Z]+", "_", name.upper()) for name in folder.parts]
    spellings = _words(names, _STATUS_WORD, _STATUS.__getitem__)
    if precise := [word for word in spellings if word != "MSI"]:
        spellings = precise  # a folder above is often named MSI for the question that the set answers
    splits = _words(names, _SPLIT_WORD, split_named)
    for what, found in (("status", {_STATUS[word] for word in spellings}), ("split", {*map(split_named, splits)})):
        if len(found) > 1:
            words = spellings if what == "status" else splits
            raise StoreError(
                f"it is in doubt which {what} the tiles in {root / folder} have: the folders' names say "
                f"{' and '.join(dict.fromkeys(words))}; unpack the archives apart"
            )
    cohorts = _words(names, _COHORT_WORD, str)
    return _Place(spellings[-1] if spellings else "", split_named(splits[-1]) if splits else None, "".join(cohorts[:1]))


def _words(names: Iterable[str], pattern: re.Pattern[str], meaning: Callable[[str], object]) -> list[str]:
    """Return each name's word of a kind, without marks; one with several meanings, MSI_vs_MSS, is of the whole set."""
    found = ([word.replace("_", "") for word in pattern.findall(name)] for name in names)
    return [words[0] for words in found if len({meaning(word) for word in words}) == 1]


def _not_of_the_set(contents: Contents, places: dict[PurePosixPath, _Place]) -> Iterable[LeftOut]:
    for path in contents.images:
        place = places[path.parent]
        if place.cohort:
            yield LeftOut(str(path), OTHER_COHORT[place.cohort])
        elif not place.spelling:
            yield LeftOut(str(path), OUTSIDE)


def _check_statuses(
    contents: Contents,
    places: dict[PurePosixPath, _Place],
    tiles: Sequence[PurePosixPath],
    left_out: Sequence[LeftOut],
) -> None:
    """Check that both statuses are there, each under one name."""
    spellings: defaultdict[str, list[str]] = defaultdict(list)
    for spelling in dict.fromkeys(places[path.parent].spelling for path in tiles):
        spellings[_STATUS[spelling]].append(spelling)
    if not spellings:
        reasons = describe_reasons(left_out)
        raise StoreError(
            f"{contents.root} holds no tiles in folders of a microsatellite status, MSIMUT and MSS (Zenodo record "
            f"2530835: unpack CRC_DX_TRAIN_MSIMUT.zip, CRC_DX_TRAIN_MSS.zip and both of CRC_DX_TEST) or MSIH and "
            f"nonMSIH (record 3832231: unpack TRAIN.zip and TEST.zip){f' ({reasons})' if reasons else ''}"
        )
    for status, names in spellings.items():
        if len(names) > 1:
            raise StoreError(
                f"{contents.root} holds folders of {status} under two names, {' and '.join(names)}, as two archives "
                "have them, which share patients and split them differently; import one, or move the other away"
            )
    if len(spellings) == 1:
        status = next(iter(spellings))
        raise StoreError(
            f"{contents.root} holds tiles of {status} alone, in folders named {spellings[status][0]}; unpack the "
            f"archive of {MSS if status == MSI else MSI} there too"
        )


def _check_splits(root: Path, places: dict[PurePosixPath, _Place], tiles: Sequence[PurePosixPath]) -> None:
    """Check that all tiles have a split or none, and that each split has both statuses."""
    splits = Counter(places[path.parent].split for path in tiles)
    if splits[None] and len(splits) > 1:
        first = next(path for path in tiles if places[path.parent].split is None)
        raise StoreError(
            f"{root} holds {splits[None]:,} tiles in folders that name no split, first {first}, beside others in train "
            "or test; it looks like a second copy: move one of them away"
        )
    there = {(places[path.parent].split, places[path.parent].status) for path in tiles}
    for split in splits:
        for status in (MSI, MSS):
            if len(splits) > 1 and (split, status) not in there:
                raise StoreError(f"{root} holds no {split} tiles of {status}; unpack their archive there too")


def _check_once(root: Path, tiles: Sequence[PurePosixPath]) -> None:
    """Check that no tile is in two folders: normalised and not, or a second copy, would be in train and in test."""
    first: dict[str, PurePosixPath] = {}
    twice = [path for path in tiles if first.setdefault(path.name, path) != path]
    if twice:
        raise StoreError(
            f"{len(twice):,} tiles lie in two folders of {root} under one name, such as {first[twice[0].name]} and "
            f"{twice[0]}: two copies, or normalised and not; move one of them away"
        )


def _check_patients(root: Path, nameless: Sequence[str], on_error: OnError) -> None:
    if nameless and on_error == "fail":
        raise StoreError(
            f"{len(nameless):,} tiles in {root} have no patient of TCGA in their names (as TCGA-AA-3602-01Z-00-DX1 "
            f"has), first {nameless[0]}; one patient could be in train and in test: take the archives' own files, or "
            "go on without those tiles: --on-error skip"
        )


def _found_folders(places: dict[PurePosixPath, _Place], tiles: Sequence[PurePosixPath]) -> Iterable[str]:
    """Say what each folder was taken for."""
    for folder, count in sorted(Counter(path.parent for path in tiles).items()):
        place = places[folder]
        yield f"found {folder}: {place.split or 'no split'}, {place.status}, {count:,} tiles"


def _patients_of_both(images: Sequence[ListedImage]) -> Iterable[str]:
    of = {status: {image.group for image in images if image.label == status} for status in (MSI, MSS)}
    if both := of[MSI] & of[MSS]:
        yield (
            f"{len(both):,} patients, such as {min(both)}, have tiles of both statuses, though a patient has one: were "
            "archives unpacked into one folder?"
        )
