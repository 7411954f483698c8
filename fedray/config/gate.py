"""Limits of the gate that synthetic tiles pass before they are handed out, cell by cell of a label and a domain."""

from pydantic import Field

from fedray.config.section import Positive, Section


class GateConfig(Section):
    """How good the tiles of a cell must be; what is asked is in fedray/evaluation/gate.py."""

    distance: Positive = 0.25
    """How far from the cell's real tiles its generated ones may be, > 0: the share of the way from what real tiles have
    among themselves to what they have once blurred by 2 px. A blur of 1 px is at about 0.3, noise beyond 1."""
    agreement: float = Field(0.75, gt=0.0, le=1.0)
    """How often a classifier of real tiles must call generated ones by their label, and by their domain, as a share of
    how often it calls real ones right, in (0, 1]."""
    tiles: int = Field(128, ge=32, le=4096)
    """Generated tiles of a cell that are looked at, 32 to 4096; of a cell that wants fewer, more are made for this."""
