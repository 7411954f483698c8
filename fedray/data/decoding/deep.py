"""PNG and JPEG 2000 of more than 8 bits, through imagecodecs: Pillow keeps 8 bits of a colour."""

import struct
from pathlib import Path
from typing import IO, Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from fedray.data.decoding.errors import MeaningError
from fedray.data.decoding.samples import Origin, Samples, Scale, values_in


def png_samples(path: Path) -> Samples | None:
    """Read a PNG file of 16 bits, or one of 8 that names its significant bits; None: Pillow reads it right.

    Raises:
        MeaningError: It marks a colour as transparent, or its values are not those of the bits that it names.
    """
    with path.open("rb") as file:
        header = file.read(33)
        chunks = _chunks_before_pixels(file)
    depth, colour_type = header[24], header[25]
    significant = chunks.get(b"sBIT")
    if depth != 16 and (significant is None or colour_type == 3 or depth != 8):
        return None
    if b"tRNS" in chunks:
        raise MeaningError("one of its colours is marked as transparent (tRNS); save it without, or with alpha")
    values = imagecodecs.png_decode(path.read_bytes())
    values = values.reshape(*values.shape[:2], -1)
    alpha = values.shape[2] in (2, 4)
    if significant is None:
        return Samples(values, depth, alpha=alpha)
    # Alpha stands last and may have other bits.
    bits = max(significant[:3] if len(significant) >= 3 else significant[:1])
    return Samples(values, depth, _significant_scale(values[..., :-1] if alpha else values, bits, depth), alpha=alpha)


def _chunks_before_pixels(file: IO[bytes]) -> dict[bytes, bytes]:
    """Read the short chunks between the header and the pixels."""
    chunks = {}
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in (b"IDAT", b"IEND"):
            break
        if kind in (b"sBIT", b"tRNS"):
            chunks[kind] = file.read(min(length, 256))
            length -= len(chunks[kind])
        file.seek(length + 4, 1)
    return chunks


def _significant_scale(values: NDArray[Any], bits: int, depth: int) -> Scale | None:
    """Tell samples that were stretched to the whole depth, as the PNG standard asks, from those stored as they came.

    Raises:
        MeaningError: They are neither.
    """
    if not 1 <= bits < depth:
        return None
    found = values_in(values)
    white = 2**bits - 1
    original = found >> (depth - bits)
    padded = original << (depth - bits)
    if (found == padded).all():
        return Scale(0, white << (depth - bits), Origin.DECLARED)
    stretched = np.rint(original * ((2**depth - 1) / white))
    if (np.abs(found - stretched) <= 1).all() or (found == padded | (padded >> bits)).all():
        return Scale(0, 2**depth - 1, Origin.DECLARED)
    if found.max() <= white:
        return Scale(0, white, Origin.DECLARED)
    raise MeaningError(
        f"it says that {bits} of its {depth} bits are significant (sBIT), but its values up to {found.max()} use more; "
        "save it without that chunk"
    )


def jpeg2000_samples(path: Path) -> Samples | None:
    """Read a JPEG 2000 file of other than 8 bits; None: Pillow reads it right.

    Raises:
        MeaningError: Its channels are signed, differ in bits, or are neither grey nor RGB.
    """
    bits = _jpeg2000_bits(path)
    if bits == 8:
        return None
    values = imagecodecs.jpeg2k_decode(path.read_bytes())
    values = values.reshape(*values.shape[:2], -1)
    if values.shape[2] not in (1, 3):
        raise MeaningError(f"it has {values.shape[2]} channels of {bits} bits; save it as grey or RGB")
    # All bits of a type are what a program writes that does not know how many are used.
    return Samples(values, bits, None if bits == 16 else Scale(0, 2**bits - 1, Origin.DECLARED))


def _jpeg2000_bits(path: Path) -> int:
    """Return the bits a sample from the code stream's header (ISO/IEC 15444-1, marker SIZ).

    Raises:
        MeaningError: The components differ in bits, or are signed.
    """
    with path.open("rb") as file:
        head = file.read(2**16)
    start = head.index(b"\xff\x4f\xff\x51")
    (components,) = struct.unpack_from(">H", head, start + 40)
    depths = {head[start + 42 + 3 * i] for i in range(components)}
    if len(depths) != 1 or (depth := depths.pop()) & 0x80:
        raise MeaningError("its channels are signed or differ in bits; convert it to 8 or 16 bits")
    return depth + 1
