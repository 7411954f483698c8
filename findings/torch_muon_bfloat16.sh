#!/usr/bin/env bash
# torch 2.15.0, CPU: a step of torch.optim.Muon takes far longer on a processor that does not compute in bfloat16 than
# the same step in float32: its Newton-Schulz iterations are in bfloat16 whatever the device and the weights' dtype.
#
# bfloat16 is there for the speed of GPUs. A processor with AMX is about as fast in either. Others emulate its products;
# oneDNN can be told to use no more than AVX2, which is what most laptops and many servers have. There is no option: the
# iterations' dtype is fixed, float32 weights, or autocast turned off, do not change it.
#
# Seen (one thread of a Xeon with AMX, weight 128 x 1152, CPU time of a step): as it is 3 ms; with AVX2 150 ms, where the
# same five iterations in float32 take 5 ms.
#
# Ends with 0 where this is (still) so, with 1 where it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.15.0 numpy
cat >"$folder/steps.py" <<'PYTHON'
import time

import torch

torch.set_num_threads(1)


def milliseconds(call, repeats=8):
    call()
    times = []
    for _ in range(repeats):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return 1e3 * min(times)


def iterations(matrix):
    for _ in range(5):
        gram = matrix @ matrix.T
        matrix = torch.addmm(matrix, torch.addmm(gram, gram, gram, beta=-4.775, alpha=2.0315), matrix, beta=3.4445)
    return matrix


weight = torch.nn.Parameter(torch.randn(128, 1152))
weight.grad = torch.randn(128, 1152)
step = milliseconds(torch.optim.Muon([weight], lr=1e-3).step)
plain = milliseconds(lambda: iterations(weight.grad / weight.grad.norm()))
print(f"{step:.1f} ms a step of torch.optim.Muon, {plain:.1f} ms its iterations in float32, {step / plain:.1f} times")
open("ratio", "w").write(str(step / plain))
PYTHON
cd "$folder"
echo "torch $(venv/bin/python -c 'import torch; print(torch.__version__)')"
echo "with all that the processor has:"
venv/bin/python steps.py
echo "with AVX2 at most:"
ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 venv/bin/python steps.py
venv/bin/python -c 'assert float(open("ratio").read()) > 4, "the behaviour has changed: Muon no longer computes in bfloat16 there"'
