#!/usr/bin/env bash
# A restored Tune run has forgotten what ASHA saw: it saves trials and searcher, no scheduler. The first trial after `Tuner.restore` is the
# first at its rung again and passes, whatever it scores, and later ones are compared with it.
#
# ray[tune] 2.55.1, Python 3.11. Eight trials, one at a time, the first of which is much the best. Seen:
#
#   trials that ran all 4 rounds, without interruption: [1]
#   trials that ran all 4 rounds, interrupted in the fifth and restored: [1, 9]
#
# `ASHAScheduler` has `save` and `restore`, but nothing in Tune calls them (TuneController.save_to_dir).
#
# Needs bash, python3 and a package index. Exits with 0 if it is as described, with 1 otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "ray[tune]==2.55.1"
cd "$folder"
export RAY_USAGE_STATS_ENABLED=0 TUNE_DISABLE_SIGINT_HANDLER=1 TUNE_GLOBAL_CHECKPOINT_S=0 RAY_AIR_NEW_OUTPUT=0
export TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S=0
"$folder/venv/bin/python" - <<'PROGRAM' 2> "$folder/log" || { tail -20 "$folder/log"; exit 1; }
import sys
from pathlib import Path

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

ROUNDS = 4
LOSSES = [1, 5, 6, 7, 9, 10, 11, 12]


class Trial(tune.Trainable):
    def setup(self, config):
        self.loss = config["loss"]

    def step(self):
        return {"loss": self.loss, "done": self.iteration + 1 == ROUNDS}

    def save_checkpoint(self, folder):
        pass

    def load_checkpoint(self, checkpoint):
        pass


class Stop(tune.Callback):
    """Ends the driver as Ctrl-C does, when the fifth trial begins."""

    def __getstate__(self):
        return {}

    def on_trial_start(self, iteration, trials, trial, **info):
        if len(trials) == 5 and not Path("stopped").exists():
            Path("stopped").touch()
            raise KeyboardInterrupt


def run(name, callbacks):
    folder = Path(name).resolve()
    if tune.Tuner.can_restore(str(folder)):
        tuner = tune.Tuner.restore(str(folder), Trial, resume_unfinished=True)
    else:
        tuner = tune.Tuner(
            Trial,
            param_space={"loss": tune.grid_search(LOSSES)},
            tune_config=tune.TuneConfig(
                scheduler=ASHAScheduler(metric="loss", mode="min", max_t=ROUNDS, reduction_factor=2),
                max_concurrent_trials=1,
            ),
            run_config=tune.RunConfig(name=name, storage_path=str(folder.parent), callbacks=callbacks, verbose=0),
        )
    results = tuner.fit()
    return sorted(result.metrics["loss"] for result in results if result.metrics["training_iteration"] == ROUNDS)


ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
whole = run("whole", [])
try:
    run("stopped-run", [Stop()])
    sys.exit("it was not interrupted")
except KeyboardInterrupt:
    restored = run("stopped-run", [])
print("trials that ran all 4 rounds, without interruption:", whole)
print("trials that ran all 4 rounds, interrupted in the fifth and restored:", restored)
sys.exit(0 if (whole, restored) == ([1], [1, 9]) else 1)
PROGRAM
