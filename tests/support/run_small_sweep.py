"""Run a saved search space in a process of its own: python run_small_sweep.py SPACE.yaml OUT TRACKING_URI RAY_ADDRESS.

The logins of the tracking server reach its trials, whose Ray was started without them.
"""

import os
import sys
from pathlib import Path

import ray

from fedray.sweep import load_space, run_sweep

space, out, tracking_uri, address = sys.argv[1:]
logins = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_TRACKING_")}
ray.init(address=address, runtime_env={"env_vars": logins}, log_to_driver=False, logging_level="ERROR")
run_sweep(load_space(Path(space)), out=Path(out), tracking_uri=tracking_uri)
