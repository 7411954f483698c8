"""Whether the values of a whole set of images have the range that was assumed: one image alone may be dark."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TypeVar

from fedray.data.decoding import Origin, Scale, ValueRange
from fedray.data.store import StoreError

_Key = TypeVar("_Key")

_PLAUSIBLE_SHARE = 0.5
"""Of the range; below, the uppermost bit is never used."""
_PLAUSIBLE_SHARE_8_BITS = 0.25
"""Of 0 to 255: dark photographs are common, and nobody stores 7 bits."""


_PLAUSIBLE_SHARE_OF_LABEL = 0.125
"""Of the range of more than 8 bits in one label, where other labels use it: 12 bits among 16 use 0.06."""


@dataclass
class _Found:
    """What was found in the files of one label of one domain that were taken to have one range."""

    lowest: float
    highest: float
    count: int
    first: str

    def joined(self, other: "_Found") -> "_Found":
        """Return what both found together."""
        lowest, highest = min(self.lowest, other.lowest), max(self.highest, other.highest)
        return _Found(lowest, highest, self.count + other.count, self.first)


@dataclass
class RangeCheck:
    """Collects the ranges of all images; :meth:`check` refuses what is not plausible over all of them."""

    _found: dict[tuple[str, str, int, Scale], _Found] = field(default_factory=dict)

    def add(self, source: str, domain: str, label: str, values: ValueRange) -> None:
        """Take one image into account; scanners differ, so each domain stands for itself."""
        _join(self._found, (domain, label, values.bits, values.scale), _Found(values.lowest, values.highest, 1, source))

    def check(self) -> None:
        """Refuse a range that nobody declared and that the set does not use, and tags that differ within the set.

        Raises:
            StoreError: With the range found and what to do.
        """
        tagged: defaultdict[int, dict[Scale, _Found]] = defaultdict(dict)
        of_domains: dict[tuple[str, int, Scale], _Found] = {}
        for (domain, _, bits, scale), found in self._found.items():
            _join(of_domains, (domain, bits, scale), found)
        for (_, bits, scale), found in of_domains.items():
            if scale.origin is Origin.ASSUMED:
                _check_assumed(bits, scale, found, _PLAUSIBLE_SHARE_8_BITS if bits <= 8 else _PLAUSIBLE_SHARE)
            elif scale.origin is Origin.TAGGED:
                tagged[bits][scale] = found
        for (_, label, bits, scale), found in self._found.items():
            if scale.origin is Origin.ASSUMED and bits > 8:
                # Two microscopes may have taken a label each: the bright one would hide that the other has 12 bits.
                _check_assumed(bits, scale, found, _PLAUSIBLE_SHARE_OF_LABEL, f" of the label {label!r}")
        for bits, scales in tagged.items():
            if len(scales) > 1:
                named = "; ".join(f"{scale} in {found.first}" for scale, found in list(scales.items())[:2])
                raise StoreError(
                    f"the tags of the {bits}-bit images name {len(scales)} different ranges ({named}), so they are the "
                    "extremes of each image and no common range; give it with --bits or --value-range"
                )


def _join(all_found: dict[_Key, _Found], key: _Key, found: _Found) -> None:
    all_found[key] = all_found[key].joined(found) if key in all_found else found


def _check_assumed(bits: int, scale: Scale, found: _Found, plausible_share: float, of_label: str = "") -> None:
    lowest = min(found.lowest, scale.low) if scale.low >= 0 else found.lowest
    used = (found.highest - lowest) / (scale.high - scale.low)
    if bits == 1 or used >= plausible_share:
        return
    remedy = (
        f"say how many bits they use, such as --bits {_likely_bits(found.highest)}, or the values of black and white "
        f"(--value-range LOW HIGH); --bits {bits} if they really are so dark"
        if scale.low >= 0
        else "say which values are black and white with --value-range LOW HIGH"
    )
    raise StoreError(
        f"{found.count} images{of_label} of {bits} bits (first {found.first}) have values of {found.lowest:g} to "
        f"{found.highest:g} only, though {scale} were possible, and would come out too "
        f"{'dark' if scale.low >= 0 else 'flat'}; {remedy}"
    )


def _likely_bits(highest: float) -> int:
    """The bits that the values need, as sensors have them."""
    needed = max(int(highest), 1).bit_length()
    return next((bits for bits in (8, 10, 12, 14) if needed <= bits and needed > bits - 2), needed)
