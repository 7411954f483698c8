"""How slides become tiles, as the job's options say it."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from fedray.data.importing.checks import check_choice, check_tile_size
from fedray.data.importing.dealt_scanners import parse_scanners
from fedray.data.importing.images import OnError
from fedray.data.importing.outside import OutsideChoice
from fedray.data.importing.splits import ValidationChoice
from fedray.data.pseudonyms import NAMINGS
from fedray.data.store import Names, StoreError


@dataclass(frozen=True)
class CutOptions:
    """How slides become tiles. Of a wrong value, the constructor raises StoreError."""

    size: int
    """Edge of a tile in pixels, 16 to 1024, a multiple of 8."""
    resolution: float
    """Micrometres per pixel of the tiles: 0.25 is a 40x objective on most scanners, 0.5 20x, 1 10x."""
    out: Path
    """The store to make."""
    mpp: float | None = None
    """Micrometres per pixel of slides whose files state none; such slides are refused without it."""
    bits: int | None = None
    """How many bits a sample has in slides of 16 bits, 9 to 16; such slides are refused without it."""
    tissue_share: float = 0.5
    """Least share of a tile's area that is tissue, in [0, 1]; 0 cuts everything."""
    threshold: float | None = None
    """Saturation above which a pixel is tissue, in (0, 1), in place of Otsu's: for slides without glass."""
    masks: Path | None = None
    """Folder for a picture of each slide's tissue and tiles. Unset: beside the store, with '-masks' behind its name."""
    on_error: OnError = "fail"
    """What a slide or tile that cannot be read does: 'fail' ends the job, 'skip' goes on without it and names it."""
    labels: str = ""
    """Rename labels: OLD=NEW,OLD=NEW. Two of one NEW are joined, OLD= leaves its slides out, OLD=OLD takes a label that
    was questioned as it stands."""
    group_pattern: str | None = None
    """Regular expression that finds the patient in a slide's path, such as 'TCGA-..-....': no split and no partition
    separates the slides of one. '' if the paths name none; unset: names that look so are questioned."""
    val: ValidationChoice | None = None
    """What becomes of the slides of a validation split, as a store has train and test: they join one of them, or are
    left out. Unset: refused."""
    outside: OutsideChoice = "refuse"
    """What becomes of slides outside the folder, where a row with '..' or an absolute path, or a link leads: 'refuse'
    ends the job with the count, 'allow' takes them."""
    names: Names = "pseudonyms"
    """What the store calls patients and slides: 'pseudonyms', hashes with a key of yours (FEDRAY_PATIENT_KEY, or
    ~/.config/fedray/patient.key, made where it is missing), or 'plain', as they are. The pictures keep the slides'."""
    scanners: str = ""
    """Render the tiles as scanners would, NAME,NAME: deterministic changes of stain, colour, focus and resolution, for
    slides of one scanner (docs/data.md shows them). Whole patients are dealt to them, which become the store's
    domains."""
    test_share: float = 0.2
    """Share of the tiles that goes to the test split, in (0, 1), where slides come without a split."""
    seed: int = 0
    """Of the split, and of which patient is dealt to which scanner."""
    threads: int | None = None
    """Threads that read slides. Unset: one a core. The result does not depend on it."""
    overwrite: bool = False
    """Replace a store, and pictures, that are there already."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_tile_size(self.size)
        check_choice("on_error", self.on_error, get_args(OnError))
        check_choice("outside", self.outside, get_args(OutsideChoice))
        check_choice("names", self.names, NAMINGS)
        assert self.scanner_names is not None  # checks them
        for name, value, low, high in (
            ("resolution", self.resolution, 0.05, 100.0),
            ("mpp", self.mpp, 0.05, 10.0),
            ("bits", self.bits, 9, 16),
            ("tissue_share", self.tissue_share, 0.0, 1.0),
            ("threads", self.threads, 1, 1024),
        ):
            if value is not None and not low <= value <= high:
                raise StoreError(f"{name} must be {low:g} to {high:g}, but got {value:g}")
        for name, share in (("test_share", self.test_share), ("threshold", self.threshold)):
            if share is not None and not 0 < share < 1:
                raise StoreError(f"{name} must be in (0, 1), but got {share:g}")

    @property
    def scanner_names(self) -> tuple[str, ...]:
        """The scanners that render the tiles; none: tiles stay as they are."""
        return parse_scanners(self.scanners)

    @property
    def masks_folder(self) -> Path:
        """Folder of the pictures."""
        out = self.out.expanduser().resolve()
        return (self.masks or out.with_name(f"{out.name}-masks")).expanduser().resolve()
