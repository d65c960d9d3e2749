"""The paths that only a GPU takes, against the plain model there; none has been run without one."""

import copy

import pytest
import torch
from torch.nn import functional

from core.archs import Gemma2, Llama4
from core.training.attention import FLEX, use_blocks, what_is_seen
from core.training.compiled import compile_layers
from core.training.experts import use_sparse_experts
from core.training.loss import summed_loss
from core.training.model import build_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
SHAPE = {"hidden_size": 128, "num_hidden_layers": 2, "max_position_embeddings": 256}


def plain_and_fast(architecture):
    plain = build_model(architecture, vocab_size=512, seed=0).cuda()
    fast = copy.deepcopy(plain)
    use_sparse_experts(fast)
    return plain, fast


def check(plain, fast, *, tolerance, segments=None):
    inputs, targets = torch.randint(0, 512, (2, 4, 256), device="cuda")  # (4, 256) each
    with torch.autocast("cuda", dtype=torch.bfloat16):
        seen = what_is_seen(plain, segments)
        logits = plain(input_ids=inputs, use_cache=False, **seen).logits.float()
        expected = functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), reduction="sum"
        )
        actual = summed_loss(fast, inputs, targets, segments)
    expected.backward()
    actual.backward()
    assert actual.item() == pytest.approx(expected.item(), rel=1e-3)
    pairs = zip(fast.parameters(), plain.named_parameters(), strict=True)
    for parameter, (name, reference) in pairs:
        distance = (parameter.grad - reference.grad).norm() / (reference.grad.norm() + 1e-6)
        assert distance < tolerance, name


def test_grouped_experts_are_the_plain_model_in_bf16():
    plain, fast = plain_and_fast(Llama4(num_attention_heads=4, num_local_experts=8, **SHAPE))
    check(plain, fast, tolerance=0.05)


@pytest.mark.parametrize("way", ["flex", "blocks"])
def test_capped_attention_is_the_plain_model_in_bf16(way):
    plain, fast = plain_and_fast(Gemma2(num_attention_heads=4, head_dim=32, **SHAPE))
    if way == "flex":
        fast.config._attn_implementation = "flex_attention"
    else:
        use_blocks(fast)
    check(plain, fast, tolerance=0.05)


@pytest.mark.parametrize("way", ["flex", "blocks"])
@pytest.mark.parametrize("window", [32, 4096])
def test_documents_kept_apart_are_the_plain_model_with_a_mask_in_bf16(way, window):
    shape = {"num_attention_heads": 4, "head_dim": 32, "sliding_window": window}
    plain, fast = plain_and_fast(Gemma2(**shape, **SHAPE))
    if way == "flex":
        fast.config._attn_implementation = FLEX
    else:
        use_blocks(fast)
    segments = (torch.rand(4, 256, device="cuda") < 0.05).cumsum(dim=1)
    check(plain, fast, tolerance=0.05, segments=segments)


def test_compiled_layers_are_the_plain_model_in_bf16(tmp_path):
    plain, fast = plain_and_fast(Llama4(num_attention_heads=4, num_local_experts=8, **SHAPE))
    compile_layers(fast, cache=tmp_path)
    check(plain, fast, tolerance=0.05)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_give_the_curve_of_one(tiny_run):
    one, two = (
        tiny_run("llama4", name=str(devices), num_devices=devices, precision="fp32", compile=False)
        for devices in (1, 2)
    )
    one.go()
    two.go()
    for name in ("train/loss", "validation/loss"):
        assert two.values(name) == pytest.approx(one.values(name), rel=1e-4)
