#!/usr/bin/env bash
# torch 2.15.0, CPU: an optimiser with fused=True takes a wrong step, without a word, where a gradient does not lie in
# memory as its parameter does. The same optimiser without fused=True takes the right one.
#
# Backward passes write gradients in their parameter's layout, so nobody notices. But weights in channels_last (what
# convolutions like best) whose gradient is set by hand, as federated corrections and averaged gradients are, meet a
# kernel that walks through both as they lie: the first weight gets the second one's step. On CUDA, torch 1.13 raised
# an error for the same (pytorch issue 106951); the CPU kernel checks nothing.
#
# Seen: of 108 weights that SGD moves by lr 1 against the gradient 0, 1, 2, ..., 12 end where they belong (plain: 108); of
# those that Adam or AdamW move against gradients of 1 and -1, 68 do. With the gradient copied into the weight's layout, all.
#
# Ends with 0 where this is (still) so, with 1 where it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.15.0 numpy
"$folder/venv/bin/python" - <<'PYTHON'
import torch


def stepped(kind, gradient, fused):
    weight = torch.nn.Parameter(torch.zeros(4, 3, 3, 3).to(memory_format=torch.channels_last))
    weight.grad = gradient.clone()  # contiguous, the same shape and dtype
    getattr(torch.optim, kind)([weight], lr=1.0, fused=fused).step()
    return weight.detach()


print("torch", torch.__version__)
counted = torch.arange(108.0).view(4, 3, 3, 3)
signs = torch.where(counted % 9 < 4, 1.0, -1.0)
wrong = {}
for kind, gradient in (("SGD", counted), ("Adam", signs), ("AdamW", signs)):
    plain, fused = (stepped(kind, gradient, fused) for fused in (False, True))
    right = torch.isclose(plain, fused).sum().item()
    wrong[kind] = 108 - right
    print(f"{kind}: {right} of 108 weights as without fused=True")
    assert torch.allclose(plain, -gradient), "plain steps are right: one of lr against the gradient, or its sign"
    laid_out = torch.empty_like(plain).copy_(gradient)
    assert laid_out.stride() == plain.stride() and torch.allclose(stepped(kind, laid_out, True), -gradient)
print("with the gradient copied into the weight's layout, all are right")
assert all(wrong.values()), "the behaviour has changed: a fused step heeds strides now"
PYTHON
