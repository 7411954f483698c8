"""What only a whole set of images shows: ranges, repetitions, and traits of files that tell their labels."""

from dataclasses import dataclass, field

from fedray.data.decoding import Asked, DecodedTile, Origin
from fedray.data.importing.confounds import TraitTable
from fedray.data.importing.images import ListedImage
from fedray.data.importing.leaks import Duplicates, LeakSearch, near_note
from fedray.data.importing.ranges import RangeCheck

SAME_PIXELS = "the same pixels as another image, which was kept (--duplicates first)"
_UNUSED = "--bits or --value-range changed nothing: every image says itself what its values mean, or cannot hold them"


@dataclass
class Inspection:
    """Sees every tile once, in the order of the import; keeps under 1 KiB of each."""

    size: int
    duplicates: Duplicates
    asked: Asked
    _remarks: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Number of files with a remark, and the first of them."""

    def __post_init__(self) -> None:
        """Begin with nothing seen."""
        self._ranges = RangeCheck()
        self._leaks = LeakSearch(self.duplicates)
        self._traits = TraitTable(self.size)
        self._used_what_was_asked = False

    def admits(self, image: ListedImage, tile: DecodedTile) -> bool:
        """Take a tile into account; False: it repeats an earlier one and is to be left out."""
        self._ranges.add(image.source, image.domain, image.label, tile.values)
        self._used_what_was_asked |= tile.values.scale.origin is Origin.ASKED
        if not self._leaks.is_new(image, tile):
            return False
        self._traits.add(image.label, tile)
        if tile.profile:
            self._remark(f"have the colour profile {tile.profile!r}, which was not applied", image)
        for note in tile.notes:
            self._remark(f"say that {note}", image)
        return True

    def _remark(self, text: str, image: ListedImage) -> None:
        count, first = self._remarks.get(text, (0, image.source))
        self._remarks[text] = (count + 1, first)

    def check(self) -> None:
        """Refuse the set where it is certainly not what it was taken for.

        Raises:
            StoreError: A range is not plausible over the set, or images occur more than once.
        """
        self._ranges.check()
        self._leaks.check()

    def notes(self) -> tuple[str, ...]:
        """Return what the user should know, one sentence each."""
        unused = self.asked != Asked() and not self._used_what_was_asked
        near = self._leaks.near_pairs()
        remarks = (f"{count:,} images (first {first}) {text}" for text, (count, first) in self._remarks.items())
        return (*([_UNUSED] if unused else []), *remarks, *([near_note(near)] if near else []), *self._traits.notes())
