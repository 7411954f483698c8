"""What an import has found: the images that become tiles, and everything that does not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

OnError = Literal["fail", "skip"]
"""What becomes of a file or row that cannot be taken: 'fail' ends the job, 'skip' goes on without it and counts it."""

DEFAULT_DOMAIN = "default"


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
    client: str = ""
    """Who has it in the federation; unset: nobody said."""
    split: str | None = None
    """'train' or 'test'; None: not split yet."""


@dataclass(frozen=True)
class LeftOut:
    """A file, folder or row that does not become a tile."""

    place: str
    """Path relative to the images' folder; a folder's ends in a slash. Of a row: the table and the line."""
    reason: str
    """Why, as the summary shows it; equal for all that are counted together."""


@dataclass(frozen=True)
class Listing:
    """All that an import found, before the first image is decoded."""

    images: tuple[ListedImage, ...]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    """What the user should know beside the counts, one sentence each."""
    roots: tuple[Path, ...] = ()
    """The folders that the images were looked for in: a file that lies elsewhere is outside."""
