"""Labels as the user means them: renamed, joined, left out as asked; questioned where they look like a mistake."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Container, Iterable
from dataclasses import replace
from typing import Any

from fedray.data.importing.images import LeftOut, Listing, OnError
from fedray.data.importing.option_texts import typed
from fedray.data.store import StoreError

MISSING_WORDS = {"", "nan", "na", "n/a", "#n/a", "<na>", "nat", "null", "none", "nil", "-", "--", "?"}
"""How tables spell that a value is missing, in lower case."""

SEVERAL_IN_ONE = "a picture with several labels in one"


def settle_labels(listing: Listing, renames: dict[str, str], on_error: OnError = "fail") -> Listing:
    """Rename labels as asked, then question what is left; of other names too what looks like a mistake.

    Args:
        listing: Images with the labels that folders or tables gave them.
        renames: New name of a label; equal to the old one: it is meant as it stands; empty: its images are left out.
        on_error: What an image with several labels in one does: 'fail' ends the import, 'skip' leaves it out.

    Raises:
        StoreError: A renamed label does not exist, a label looks like a missing value or like several labels, or two
            labels, domains or clients are nearly the same.
    """
    listing = _join_spellings(listing)
    counts = Counter(image.label for image in listing.images)
    if unknown := [label for label in renames if label not in counts]:
        raise StoreError(f"--labels renames {unknown[0]!r}, but the labels are {', '.join(map(repr, sorted(counts)))}")
    several = {label for label in counts if label not in renames and _is_several(label, counts)}
    if several and on_error == "fail":
        first = min(several)
        raise StoreError(
            f"{sum(counts[label] for label in several)} images have several labels in one, such as {first!r}, but a "
            f"picture needs one label; leave them out with --on-error skip, or take one as it stands: "
            f"{typed('--labels', [f'{first}={first}'])}"
        )
    images, left_out = [], list(listing.left_out)
    for image in listing.images:
        if image.label in several:
            left_out.append(LeftOut(image.source, SEVERAL_IN_ONE))
        elif not (label := renames.get(image.label, image.label)):
            left_out.append(LeftOut(image.source, f"a picture of the label {image.label!r}, left out as asked"))
        else:
            images.append(replace(image, label=label))
    unasked = {label: count for label, count in counts.items() if label not in renames and label not in several}
    _question(unasked, set(renames.values()))
    _question_names("domain", (image.domain for image in listing.images))
    _question_names("client", (image.client for image in listing.images))
    return replace(listing, images=tuple(images), left_out=tuple(left_out))


def leave_out(label: str) -> str:
    """Write the option that leaves a label's images out."""
    return typed("--labels", [f"{label}="])


def _is_several(label: str, labels: Container[str]) -> bool:
    """Whether a label is a list of others, as in ``Edema|Effusion``."""
    parts = [part.strip() for part in re.split(r"[|;,/+&]", label)]
    return len(parts) > 1 and all(part in labels for part in parts)


def sorted_names(names: Iterable[str]) -> list[str]:
    """Sort names, numbers by their value: 2 before 10."""
    names = set(names)
    numbers = all(name.isascii() and name.isdigit() for name in names)
    return sorted(names, key=lambda name: (int(name), name)) if numbers else sorted(names)


def _question(counts: dict[str, int], meant: set[str]) -> None:
    """Refuse labels that are probably mistakes, unless the user said that they are meant."""
    for label, count in counts.items():
        if label.strip().lower() in MISSING_WORDS:
            raise StoreError(
                f"{count} images have the label {label!r}, which often stands for a missing one; "
                f"{leave_out(label)} leaves them out, {typed('--labels', [f'{label}={label}'])} takes it as a label"
            )
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for label in [*counts, *(name for name in meant if name)]:
        if label not in alike[_folded(label)]:
            alike[_folded(label)].append(label)
    for labels in alike.values():
        # Two that the user named are two; one that nobody named is questioned beside any other.
        if len(labels) > 1 and any(label in counts for label in labels):
            first, second = labels[0], labels[1]
            raise StoreError(
                f"the labels {first!r} and {second!r} differ by no more than case and punctuation; "
                f"{typed('--labels', [f'{second}={first}'])} joins them, "
                f"{typed('--labels', [f'{first}={first}', f'{second}={second}'])} keeps them apart"
            )


def _question_names(kind: str, names: Iterable[str]) -> None:
    first: dict[str, str] = {}
    for name in dict.fromkeys(names):
        if (other := first.setdefault(_folded(name), name)) != name:
            raise StoreError(
                f"the {kind}s {other!r} and {name!r} differ by no more than case and punctuation; write "
                "them alike if they are one, or tell them apart by more"
            )


def _join_spellings(listing: Listing) -> Listing:
    """Take names as one that are one: of labels, domains and clients those that nobody could tell apart on the screen.

    Groups are joined where they differ by case too: a patient whose id is spelt in two ways must not be separated.
    """
    images, notes = list(listing.images), list(listing.notes)
    for field, plain in (("label", _visible), ("domain", _visible), ("client", _visible), ("group", _folded)):
        names = dict.fromkeys(getattr(image, field) for image in images)
        first: dict[str, str] = {}
        joined = {name: first.setdefault(plain(name), name) for name in names}
        if respelt := [name for name in names if joined[name] != name]:
            how = "case, blanks or the encoding of accents" if field == "group" else "blanks or the encoding of accents"
            notes.append(
                f"{len(respelt)} {field}{'s' if len(respelt) > 1 else ''} differ from another by {how} only, taken as "
                f"one with it, such as {respelt[0]!a} and {joined[respelt[0]]!a}"
            )
            changes: list[dict[str, Any]] = [{field: joined[getattr(image, field)]} for image in images]
            images = [replace(image, **change) for image, change in zip(images, changes, strict=True)]
    return replace(listing, images=tuple(images), notes=tuple(notes))


def _visible(name: str) -> str:
    """Return a name without what cannot be seen: which blanks, and how accents are encoded (macOS splits them)."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def _folded(name: str) -> str:
    """Return what two names share that look alike: no difference of case, blanks, forms of a letter, or 1 and 1.0."""
    plain = " ".join(unicodedata.normalize("NFKC", name).casefold().replace("_", " ").split())
    return re.sub(r"^(\d+)\.0+$", r"\1", plain)
