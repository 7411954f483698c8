#!/usr/bin/env bash
# Optuna's fANOVA weighs a parameter that was searched on a logarithmic scale as if it had been searched linearly:
# FanovaImportanceEvaluator, the default before 5.0, encodes trials without taking logarithms, and the variance
# that it shares out is that over linearly uniform values.
#
# optuna 5.0.0, scikit-learn 1.9.1, numpy 2.4.6, Python 3.11. Seen, of a score that is the sum of log10(lr) and x, each
# scaled to one unit of variance over what was sampled (lr log-uniform in 1e-5 to 1e-1, x uniform in 0 to 1), 300 trials:
#
#   lr declared with log=True: importance of lr 0.11, of x 0.89
#   log10(lr) as a linear parameter: importance of lr 0.51, of x 0.49
#
# A study whose trials say log=True everywhere, whose plots have logarithmic axes and whose samplers model logarithms gives
# every reason to expect one half each. With a linear uniform weight nine tenths of lr's range lie between 0.01 and 0.1, where
# the score hardly moves: log10(lr) has 0.19 of variance there instead of 1.33, and lr 0.124 of the whole. Learning rates and
# penalties look the less important, the wider their ranges are.
#
# Needs bash, python3 and a package index. Exits with 0 if that is so, with 1 otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check optuna==5.0.0 scikit-learn==1.9.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - 2>"$folder/log" <<'PROGRAM' || { cat "$folder/log"; exit 1; }
import sys
import warnings

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.WARNING)
random = np.random.default_rng(0)
exponents, x = random.uniform(-5, -1, 300), random.uniform(0, 1, 300)
scores = exponents / np.sqrt(16 / 12) + x / np.sqrt(1 / 12)


def shares(values, distribution):
    study = optuna.create_study()
    for value, other, score in zip(values, x, scores):
        params = {"lr": float(value), "x": float(other)}
        distributions = {"lr": distribution, "x": FloatDistribution(0, 1)}
        study.add_trial(create_trial(params=params, distributions=distributions, value=float(score)))
    return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0, n_trees=32))


declared = shares(10**exponents, FloatDistribution(1e-5, 1e-1, log=True))
by_hand = shares(exponents, FloatDistribution(-5, -1))
print(f"lr declared with log=True: importance of lr {declared['lr']:.2f}, of x {declared['x']:.2f}")
print(f"log10(lr) as a linear parameter: importance of lr {by_hand['lr']:.2f}, of x {by_hand['x']:.2f}")
sys.exit(0 if declared["lr"] < 0.2 and 0.4 < by_hand["lr"] < 0.6 else 1)
PROGRAM
