"""Run a saved search space on a Ray of its own: python run_small_sweep.py SPACE.yaml OUT TRACKING_URI CPUS."""

import sys
from pathlib import Path

import ray

from fedray.sweep import load_space, run_sweep

num_cpus = int(sys.argv[4])
ray.init(address="local", num_cpus=num_cpus, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
run_sweep(load_space(Path(sys.argv[1])), out=Path(sys.argv[2]), tracking_uri=sys.argv[3])
