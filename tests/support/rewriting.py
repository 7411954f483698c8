"""Records of FedRay's folders, written again as another FedRay, or another run, would have written them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedray.storage import sealed, unsealed


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a record, and seal it anew."""
    record = unsealed(path.read_bytes(), path)
    change(record)
    path.write_bytes(sealed(record))
