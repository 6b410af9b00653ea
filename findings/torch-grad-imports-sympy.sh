#!/bin/sh
# torch 2.13.0: the first torch.autograd.grad with a gradient tensor imports sympy.
#
# Expected: eager autograd on plain CPU tensors loads no symbolic algebra. `import torch` does not load
#   it, and neither does `loss.backward()` of a scalar.
# Seen: torch.autograd.grad(y, x, grad_outputs=g) compares the shapes of y and g with functions of
#   torch.fx.experimental.symbolic_shapes, whose import takes sympy and its 400 and more modules with it:
#   half a second of CPU time or more, once in a process, in programs that never trace or compile anything.
# A way round: avoid tensor-valued grad_outputs in short-lived processes; take the gradient of the scalar
#   (y * g).sum() instead.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import time

import torch


def report(what):
    loaded = sum(name.partition(".")[0] == "sympy" for name in sys.modules)
    print(f"{what}: {loaded} modules of sympy loaded")
    return loaded


print("torch", torch.__version__)
x = torch.ones(4, requires_grad=True)
at_import = report("after import torch")
(x * 2).sum().backward()
after_scalar = report("after backward() of a scalar")
torch.autograd.grad(((x * 2) * torch.ones(4)).sum(), x)
after_product = report("after grad() of a scalar product")
began = time.process_time()
torch.autograd.grad(x * 2, x, torch.ones(4))
after_tensor = report(f"after grad() with a gradient tensor ({time.process_time() - began:.2f} CPU s)")
as_described = (at_import, after_scalar, after_product) == (0, 0, 0) and after_tensor > 100
sys.exit(0 if as_described else "this has changed")
PYTHON
