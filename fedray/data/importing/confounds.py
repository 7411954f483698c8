"""What a network could tell the labels by without looking at the tissue: file formats, sizes, compression."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fedray.data.decoding import ENLARGED_DETAIL, DecodedTile

_TELLING_DIFFERENCE = 0.5
"""Difference between the share of a trait in one label and in all others from which on it tells the label."""
_TELLING_SEPARATION = 0.9
"""Share of images that the best threshold of a size sorts into a label and the others (balanced)."""
_BLURRED = "enlarged or out of focus"
_FEW = 4
"""Images a label below which a threshold separates sizes by chance."""


@dataclass
class TraitTable:
    """Counts, for each label, what the files have beside their tissue."""

    size: int
    """Edge of a tile in pixels."""
    _kinds: dict[str, defaultdict[str, Counter[str]]] = field(default_factory=dict)
    _numbers: dict[str, defaultdict[str, Counter[int]]] = field(default_factory=dict)
    _enlarged: Counter[str] = field(default_factory=Counter)
    _smallest: int | None = None

    def add(self, label: str, tile: DecodedTile) -> None:
        """Take one image into account."""
        edge = min(tile.width, tile.height)
        if edge < self.size:
            self._enlarged[label] += 1
            self._smallest = min(edge, self._smallest or edge)
        self._add_kind("file format", label, tile.format)
        self._add_kind("colour", label, "colour" if tile.colored else "grey")
        self._add_kind("colour profile", label, tile.profile or "none or sRGB")
        if tile.detail is not None:
            self._add_kind("sharpness", label, _BLURRED if tile.detail < ENLARGED_DETAIL else "in full detail")
        self._add_number("size in pixels", label, edge)
        if tile.quality is not None:
            self._add_number("coarseness of JPEG's quantisation", label, tile.quality)

    def _add_kind(self, trait: str, label: str, value: str) -> None:
        self._kinds.setdefault(trait, defaultdict(Counter))[label][value] += 1

    def _add_number(self, trait: str, label: str, value: int) -> None:
        self._numbers.setdefault(trait, defaultdict(Counter))[label][value] += 1

    def notes(self) -> Iterator[str]:
        """Yield one sentence for each trait that tells a label, and for images that were enlarged."""
        for trait, kinds in self._kinds.items():
            yield from _telling_kinds(trait, kinds)
        for trait, numbers in self._numbers.items():
            yield from _telling_numbers(trait, numbers)
        yield from self._enlarged_here()
        yield from self._enlarged_before()

    def _enlarged_here(self) -> Iterator[str]:
        if not self._enlarged:
            return
        of_labels = ", ".join(f"{count:,} of {label!r}" for label, count in sorted(self._enlarged.items()))
        yield (
            f"{self._enlarged.total():,} images are smaller than the tile's {self.size} px and were enlarged "
            f"({of_labels}; the smallest has {self._smallest} px): a network learns blurred images; choose a smaller "
            "--size"
        )

    def _enlarged_before(self) -> Iterator[str]:
        counts = sum(self._kinds.get("sharpness", {}).values(), Counter[str]())
        if counts[_BLURRED] > counts.total() / 2:
            yield (
                f"{counts[_BLURRED]:,} of {counts.total():,} images have no detail at their own resolution: they were "
                "enlarged before, or are out of focus, and a network learns blurred images; import the originals"
            )


def _telling_kinds(trait: str, counts: Mapping[str, Counter[str]]) -> Iterator[str]:
    """Yield the label that a kind tells best, if it does."""
    best = (0.0, "")
    for label in counts:
        others = [other for other in counts if other != label]
        for value in counts[label] if others else ():
            own, rest = _share(counts, [label], value), _share(counts, others, value)
            best = max(best, (own - rest, f"{own:.0%} of {label!r} are {value}, of the other labels {rest:.0%}"))
    if best[0] >= _TELLING_DIFFERENCE:
        yield _warning(trait, best[1])


def _share(counts: Mapping[str, Counter[str]], labels: Sequence[str], value: str) -> float:
    return sum(counts[label][value] for label in labels) / sum(counts[label].total() for label in labels)


def _telling_numbers(trait: str, counts: Mapping[str, Counter[int]]) -> Iterator[str]:
    """Yield the label that a threshold of a number tells best, if it does."""
    best = (0.0, "")
    for label, own in counts.items():
        others = sum((counts[other] for other in counts if other != label), Counter[int]())
        if min(own.total(), others.total()) < _FEW:
            continue
        for threshold in sorted({*own, *others}):
            below = _share_below(own, threshold)
            separation = (1 + abs(below - _share_below(others, threshold))) / 2
            best = max(best, (separation, f"{_range(own)} in {label!r}, {_range(others)} in the other labels"))
    if best[0] >= _TELLING_SEPARATION:
        yield _warning(trait, best[1])


def _share_below(counts: Counter[int], threshold: int) -> float:
    return sum(count for value, count in counts.items() if value < threshold) / counts.total()


def _range(counts: Counter[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"


def _warning(trait: str, found: str) -> str:
    return (
        f"the {trait} tells a label ({found}): a network learns it instead of the tissue, and so do scores; bring all "
        "labels through the same export, or take images from one source"
    )
