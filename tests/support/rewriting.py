"""Records of FedRay's folders, written again as another FedRay, or another run, would have written them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from fedray.storage import digest, sealed, unsealed


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a record, and seal it anew."""
    record = unsealed(path.read_bytes(), path)
    change(record)
    path.write_bytes(sealed(record))


def rewrite_server(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """Give a checkpoint's server other arrays, as a run that came to them would have left them."""
    save_file(arrays, file)
    rewrite(
        file.with_name("state.json"), lambda record: record["digests"].update({file.name: digest(file.read_bytes())})
    )
