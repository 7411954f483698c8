#!/usr/bin/env bash
# safetensors.numpy writes strided memory as it lies, so that other numbers come back, without a word.
#
# safetensors 0.8.0 with numpy 2.4.6. `save_file` (and `save`) of its NumPy front end write the bytes of an array from
# its first on, whatever its strides say, under the shape of the view. A transposed, a Fortran-ordered and a sliced array
# are saved without an error and loaded with their numbers in other places; its PyTorch front end refuses the same
# tensors ("You are trying to save a non contiguous tensor").
#
# Seen: np.arange(6.0).reshape(2, 3).T comes back as [[0, 1], [2, 3], [4, 5]] in the place of [[0, 3], [1, 4], [2, 5]].
# Remedy: np.asarray(array, order="C") before saving (np.ascontiguousarray makes a shape [1] of a scalar's []).
#
# Ends with 0 where this is (still) so, with 1 where it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/arrays.safetensors" <<'PROGRAM'
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

plain = np.arange(6, dtype=np.float32).reshape(2, 3)
arrays = {"transposed": plain.T, "fortran": np.asfortranarray(plain), "every second": np.arange(12.0)[::2]}
save_file(arrays, sys.argv[1])
loaded = load_file(sys.argv[1])
for name, array in arrays.items():
    print(f"{name}: saved {array.tolist()}, loaded {loaded[name].tolist()}")
save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, sys.argv[1])
loaded_in_order = load_file(sys.argv[1])
scrambled = all(not np.array_equal(array, loaded[name]) for name, array in arrays.items())
cured = all(np.array_equal(array, loaded_in_order[name]) for name, array in arrays.items())
print(f"scrambled without a word: {scrambled}; as they were after order='C': {cured}")
sys.exit(0 if scrambled and cured else 1)
PROGRAM
