"""The kernels for GPUs, computed by Triton's interpreter if Triton is installed.

The interpreter must be enabled before Triton is loaded, so each check runs in a new process.
"""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")

LOSS = """
import torch
from torch.nn import functional
from core.training.kernels.loss import loss_and_gradient

for vocabulary in (300, 5000):
    for cap in (None, 0.5, 30.0):
        for coefficient in (0.0, 0.1):
            product = torch.randn(7, vocabulary, requires_grad=True)
            targets = torch.randint(0, vocabulary, (7,))
            targets[2] = -100
            capped = product if cap is None else cap * torch.tanh(product / cap)
            expected = functional.cross_entropy(capped, targets, reduction="sum")
            squares = capped.logsumexp(1).square()[targets != -100].sum()
            (expected + coefficient * squares).backward()
            logits = product.detach() * (2.0 / cap if cap else 1.0)
            kept = logits.clone()
            alone, _ = loss_and_gradient(kept, targets, cap, 0.0, ignored=-100, needs_grad=False)
            loss, z_loss = loss_and_gradient(
                logits, targets, cap, coefficient, ignored=-100, needs_grad=True
            )
            torch.testing.assert_close(loss, expected.detach())
            torch.testing.assert_close(alone, expected.detach())
            if coefficient:
                torch.testing.assert_close(z_loss, squares.detach())
            torch.testing.assert_close(kept, product.detach() * (2.0 / cap if cap else 1.0))
            torch.testing.assert_close(logits * (4.0 if cap else 1.0), product.grad)
"""
GATE = """
import torch
from torch import nn
from core.training.kernels.gate import gated, gated_gradient

for activation in (nn.SiLU(), nn.GELU(), nn.ReLU()):
    for width in (48, 1500):
        both, upstream = torch.randn(5, 2 * width, requires_grad=True), torch.randn(5, width)
        gate, up = both.chunk(2, -1)
        expected = activation(gate) * up
        expected.backward(upstream)
        name = type(activation).__name__
        torch.testing.assert_close(gated(both.detach(), name), expected.detach())
        gradient, product = gated_gradient(both.detach(), upstream, name)
        torch.testing.assert_close(gradient, both.grad)
        torch.testing.assert_close(product, expected.detach())
"""
ADAMW = """
import torch
from core.training.kernels.adamw import update

theirs = torch.randn(50, 70, requires_grad=True)
ours = theirs.detach().clone()
first, second = torch.zeros_like(ours), torch.zeros_like(ours)
betas = (0.9, 0.999)
optimizer = torch.optim.AdamW([theirs], lr=1e-2, betas=betas, eps=1e-8, weight_decay=0.1)
options = {"rate": 1e-2, "betas": betas, "epsilon": 1e-8, "decay": 0.1}
for step in range(1, 6):
    gradient = torch.randn_like(ours)
    theirs.grad = gradient / 1.7
    optimizer.step()
    options["corrections"] = torch.tensor([1.0 - beta**step for beta in betas])
    options["grad_scale"] = torch.tensor(1.7)
    update(ours, gradient, first, second, found_inf=torch.zeros(()), **options)
torch.testing.assert_close(ours, theirs.detach())
before = ours.clone()
update(ours, gradient, first, second, found_inf=torch.ones(()), **options)
assert ours.equal(before)
"""


@pytest.mark.parametrize("check", [LOSS, GATE, ADAMW], ids=["loss", "gate", "adamw"])
def test_a_kernel_computes_what_torch_does(check):
    done = subprocess.run(
        [sys.executable, "-c", check],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
