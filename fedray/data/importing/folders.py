"""Label folders: which level of the folders is the split, the domain, the label, the group."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from shlex import quote

from fedray.data.importing.contents import TABLE, Contents, describe_reasons, list_contents
from fedray.data.importing.images import LeftOut, ListedImage, Listing
from fedray.data.importing.splits import (
    LEFT_OUT_VALIDATION,
    FoundSplit,
    ValidationChoice,
    mentions_split,
    settle_split,
    split_named,
)
from fedray.data.store import SPLITS, StoreError

LEVELS = ("split", "client", "domain", "label", "group")
"""What a level of folders can be. Each is a field of :class:`~fedray.data.importing.images.ListedImage`."""

OUTSIDE = "a picture outside the label folders"


def parse_levels(text: str) -> tuple[str, ...]:
    """Parse levels as an option gives them: ``domain/label`` means that the top folders are domains, with labels below.

    Raises:
        StoreError: A level is unknown or repeated, or none is the label.
    """
    levels = tuple(level.strip() for level in text.split("/"))
    if "label" not in levels or len(set(levels)) < len(levels) or not set(levels) <= set(LEVELS):
        raise StoreError(
            f"--levels must name the folder levels from the top down, each once, of {', '.join(LEVELS)}, with the "
            f"label among them (such as domain/label), but got {text!r}"
        )
    return levels


@dataclass(frozen=True)
class _Branch:
    """Folders below which the levels are alike: the whole folder, or that of one split."""

    contents: Contents
    split: str | None = None
    prefix: str = ""
    """What the images' sources begin with."""
    above: str = ""
    """Levels above this folder as --levels must name them, with a slash behind."""


def list_folder(
    folder: str | Path,
    levels: Sequence[str] | None = None,
    domains: bool = False,
    validation: ValidationChoice | None = None,
) -> Listing:
    """List the images of label folders: ``LABEL/*``, or ``train/LABEL/*`` and ``test/LABEL/*``, in sub-folders too.

    Args:
        folder: The folder above those.
        levels: What each level of folders is, from the top down, of :data:`LEVELS`; what lies deeper is searched.
            Unset: folders of splits, if the top ones are named so, and labels, if that is beyond doubt.
        domains: Where ``levels`` is unset: the labels lie in folders of their domains.
        validation: What becomes of the images of a validation split.

    Raises:
        StoreError: The folder is missing, has no images, or it is in doubt which level is the label.
    """
    contents = _contents_with_images(folder)
    if levels is not None:
        return _listing([_Branch(contents)], levels, validation, contents.left_out, _tables(contents))
    names = _top_folders(contents)
    found = {name: split for name in names if (split := split_named(name)) is not None}
    if not found:
        branches, left_out = [_Branch(contents)], list(contents.left_out)
    else:
        _check_split_folders(contents, names, found)
        branches, left_out = _split_branches(contents, found, validation)
    inferred = _checked_levels(branches, domains)
    listing = _listing(branches, inferred, validation, left_out, _tables(contents))
    return replace(listing, notes=(*listing.notes, *_note_deeper_folders(branches, inferred)))


def _split_branches(
    contents: Contents, found: dict[str, FoundSplit], validation: ValidationChoice | None
) -> tuple[list[_Branch], list[LeftOut]]:
    """Return a branch for each folder of a split, and what is left out so far."""
    branches = []
    left_out = [*contents.left_out, *(LeftOut(str(p), OUTSIDE) for p in contents.images if len(p.parts) == 1)]
    for name, split in found.items():
        settled = settle_split(split, validation, f"the folder {contents.root / name}")
        inside = contents.below(name)
        if settled is None:
            left_out += [LeftOut(f"{name}/{image}", LEFT_OUT_VALIDATION) for image in inside.images]
        else:
            branches.append(_Branch(inside, settled, f"{name}/", above="split/"))
    branches.sort(key=lambda branch: SPLITS.index(branch.split or "train"))
    if {branch.split for branch in branches} != set(SPLITS):
        _refuse_one_split(contents, found, validation)
    return branches, left_out


def list_split_folders(
    train: str | Path, test: str | Path, levels: Sequence[str] | None = None, domains: bool = False
) -> Listing:
    """List the images of two folders, one a split, with label folders in each.

    Args:
        train: The folder of the training split.
        test: That of the test split.
        levels: As in :func:`list_folder`, below the splits.
        domains: As in :func:`list_folder`.

    Raises:
        StoreError: As in :func:`list_folder`, or one folder lies in the other.
    """
    if levels is not None and "split" in levels:
        raise StoreError(f"--levels must leave out the split beside --train and --test, but got {'/'.join(levels)!r}")
    real = [Path(folder).expanduser().resolve() for folder in (train, test)]
    if real[0].is_relative_to(real[1]) or real[1].is_relative_to(real[0]):
        raise StoreError(f"--train and --test must be two folders apart, but are {train} and {test}")
    folders = zip(SPLITS, (train, test), strict=True)
    branches = [_Branch(_contents_with_images(folder), split, f"{split}/") for split, folder in folders]
    left_out, tables = [], []
    for branch in branches:
        left_out += [replace(entry, place=branch.prefix + entry.place) for entry in branch.contents.left_out]
        tables += _tables(branch.contents)
    if levels is not None:
        return _listing(branches, levels, None, left_out, tables)
    inferred = _checked_levels(branches, domains)
    listing = _listing(branches, inferred, None, left_out, tables)
    return replace(listing, notes=(*listing.notes, *_note_deeper_folders(branches, inferred)))


def _contents_with_images(folder: str | Path) -> Contents:
    contents = list_contents(folder)
    if not contents.images:
        raise StoreError(_no_image(f"{contents.root} holds no image", contents.left_out))
    return contents


def _checked_levels(branches: Sequence[_Branch], domains: bool) -> tuple[str, ...]:
    for branch in branches:
        _check_no_split_below(branch, domains)
        if not domains:
            _check_label_level(branch)
    return ("domain", "label") if domains else ("label",)


def _listing(
    branches: Sequence[_Branch],
    levels: Sequence[str],
    validation: ValidationChoice | None,
    left_out: Iterable[LeftOut],
    tables: Sequence[Path],
) -> Listing:
    images: list[ListedImage] = []
    left = list(left_out)
    for branch in branches:
        _check_filled(branch.contents, levels.index("label") + 1)
        for path in branch.contents.images:
            source = branch.prefix + str(path)
            if len(path.parts) <= len(levels):
                left.append(LeftOut(source, OUTSIDE))
            elif (image := _image(branch, path, source, levels, validation)) is None:
                left.append(LeftOut(source, LEFT_OUT_VALIDATION))
            else:
                images.append(image)
    if not images:
        raise StoreError(
            f"{' and '.join(str(branch.contents.root) for branch in branches)} must hold folders as "
            f"{'/'.join(levels).upper()}/IMAGE, but all images lie further up; sort them into such folders, or name "
            f"them and their labels in a table: --csv {_place(tables[0]) if tables else 'FILE'}"
        )
    roots = tuple(branch.contents.root for branch in branches)
    return Listing(tuple(images), tuple(left), tuple(_note_tables(tables)), roots)


def _image(
    branch: _Branch,
    path: PurePosixPath,
    source: str,
    levels: Sequence[str],
    validation: ValidationChoice | None,
) -> ListedImage | None:
    named = dict(zip(levels, path.parts, strict=False))
    if (name := named.pop("split", None)) is None:
        return ListedImage(branch.contents.root / path, source, split=branch.split, **named)
    if (found := split_named(name)) is None:
        raise StoreError(
            f"a folder of the level 'split' must be named as a split, such as train or test, but {source} is in "
            f"{name!r}"
        )
    split = settle_split(found, validation, f"the folder {name!r} of {source}")
    return None if split is None else ListedImage(branch.contents.root / path, source, split=split, **named)


def _check_split_folders(contents: Contents, names: Sequence[str], found: dict[str, FoundSplit]) -> None:
    """Check that splits stand alone at the top, each once."""
    if others := [name for name in names if name not in found]:
        train, test = (
            quote(next((str(contents.root / name) for name in found if found[name] == split), "DIR"))
            for split in SPLITS
        )
        raise StoreError(
            f"{contents.root} must hold either folders of splits or label folders, but beside {_some(found)} it holds "
            f"{_some(others)}; move those away, or name both folders: --train {train} --test {test}. If all of them "
            "are labels: --levels label"
        )
    for name, split in found.items():
        if twins := [other for other in found if found[other] == split and other != name]:
            raise StoreError(
                f"{contents.root} has two folders of one split, {name!r} and {twins[0]!r}; join them, or name the "
                "right ones: --train DIR --test DIR"
            )


def _refuse_one_split(contents: Contents, found: dict[str, FoundSplit], validation: ValidationChoice | None) -> None:
    first = next(iter(found))
    ways = [
        f"have one folder split here (--images {_place(contents.root / first)})",
        "name both (--train DIR --test DIR)",
    ]
    if "val" in found.values():
        ways.insert(0, "choose another --val" if validation else "take the validation split for it (--val test)")
    raise StoreError(
        f"{contents.root} must hold a train and a test split, but holds {_some(found)} only; {', or '.join(ways)}"
    )


def _check_no_split_below(branch: _Branch, domains: bool) -> None:
    """Refuse folders below the splits that are named as one."""
    root, above = branch.contents.root, branch.above
    here, below = ("domain", "/label") if domains else ("label", "")
    if odd := [name for name in _top_folders(branch.contents) if mentions_split(name)]:
        raise StoreError(
            f"it is in doubt whether {_some(odd)} in {root} is a {here} or a split; name the splits (--train DIR "
            f"--test DIR), or --levels {above}{here}{below} if all folders there are {here}s"
        )
    for name, children in _inner_folders(branch.contents).items():
        if splits := [child for child in children if split_named(child)]:
            raise StoreError(
                f"it is in doubt what {_some(splits)} in {root / name} are; --levels {above}{here}/split{below} if "
                f"they are splits, --images {_place(root / name)} if the data set begins there"
            )


def _check_label_level(branch: _Branch) -> None:
    """Refuse folders of which the upper or the lower ones could be the labels."""
    root, above, inner = branch.contents.root, branch.above, _inner_folders(branch.contents)
    names = _top_folders(branch.contents)
    direct = {path.parts[0] for path in branch.contents.images if len(path.parts) == 2}
    apart = "--train DIR --test DIR"
    if len(names) == 1 and names[0] not in direct and inner[names[0]]:
        way = f"--images {_place(root / names[0])}" if branch.split is None else f"the folders that hold them ({apart})"
        raise StoreError(
            f"it is in doubt which folders are the labels: {root} holds the folder {names[0]!r} alone, and that holds "
            f"{_some(inner[names[0]])}; {way} if those are the labels, --domains if {names[0]!r} is a scanner or site, "
            f"--levels {above}label if it is the only label"
        )
    if (shared := _shared(inner)) is not None:
        child, tops = shared
        way = f", {apart} if the upper ones are splits" if branch.split is None else ""
        raise StoreError(
            f"it is in doubt which folders are the labels: {_some(tops)} in {root} all hold a folder {child!r}; "
            f"--domains if the upper ones are scanners or sites and the labels below, --levels {above}label/group if "
            f"the upper ones are labels and patients or slides below, --levels {above}group/label if it is the other "
            f"way round, --levels {above}label if what is below does not matter{way}"
        )
    lower = [f"{top}/{child}" for top, children in inner.items() for child in children]
    if not direct and len(lower) > len(names):
        raise StoreError(
            f"it is in doubt which folders are the labels: all images in {root} lie a level deeper, in {_some(lower)}; "
            f"--levels {above}label/group if the upper folders are labels and patients or slides below, --domains if "
            f"the upper ones are organs, scanners or sites and the labels below, --levels {above}label if the upper "
            "ones are labels and what is below does not matter"
        )


def _shared(inner: dict[str, list[str]]) -> tuple[str, list[str]] | None:
    """Return the name of a folder that lies in several of the upper ones, and those; the one that most hold."""
    holders: defaultdict[str, list[str]] = defaultdict(list)
    for top, children in inner.items():
        for child in children:
            holders[child.casefold()].append(top)
    child, tops = max(holders.items(), key=lambda item: len(item[1]), default=("", []))
    return (next(c for c in inner[tops[0]] if c.casefold() == child), tops) if len(tops) > 1 else None


def _check_filled(contents: Contents, depth: int) -> None:
    """Check that every folder down to the labels holds an image: an empty one would be a label that nobody has."""
    filled = {parent for image in contents.images for parent in image.parents}
    for folder in contents.folders:
        if len(folder.parts) <= depth and folder not in filled:
            inside = [entry for entry in contents.left_out if entry.place.startswith(f"{folder}/")]
            raise StoreError(_no_image(f"the folder {contents.root / folder} has no image", inside))


def _no_image(problem: str, left_out: Iterable[LeftOut]) -> str:
    reasons = describe_reasons(left_out)
    return f"{problem}{f' ({reasons})' if reasons else ''}; add images, or remove the folder"


def _tables(contents: Contents) -> list[Path]:
    return [contents.root / entry.place for entry in contents.left_out if entry.reason == TABLE]


def _note_tables(tables: Sequence[Path]) -> Iterator[str]:
    if tables:
        yield (
            f"{_some(table.name for table in tables)} was not read; if it says which label, patient, site or split a "
            f"picture has, import by it: --csv {_place(tables[0])}"
        )


def _note_deeper_folders(branches: Sequence[_Branch], levels: Sequence[str]) -> Iterator[str]:
    deeper = {
        branch.prefix + str(path.parent): None
        for branch in branches
        for path in branch.contents.images
        if len(path.parts) > len(levels) + 1
    }
    if deeper:
        lower = branches[0].above + "/".join(levels)
        yield (
            f"the label folders hold {len(deeper)} folders of their own, such as {next(iter(deeper))}; if those are "
            f"patients or slides, --levels {lower}/group keeps each in one split"
            + ("" if "domain" in levels else f"; if those are the labels, --levels {branches[0].above}domain/label")
        )


def _top_folders(contents: Contents) -> list[str]:
    return [path.parts[0] for path in contents.folders if len(path.parts) == 1]


def _inner_folders(contents: Contents) -> defaultdict[str, list[str]]:
    """Return the folders with images that each top folder holds."""
    inner: defaultdict[str, list[str]] = defaultdict(list)
    for top, child in dict.fromkeys(path.parts[:2] for path in contents.images if len(path.parts) > 2):
        inner[top].append(child)
    return inner


def _place(path: Path) -> str:
    """Write a path as a shell takes it."""
    return quote(str(path))


def _some(names: Iterable[str], limit: int = 4) -> str:
    names = [*names]
    shown = ", ".join(repr(name) for name in names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown
