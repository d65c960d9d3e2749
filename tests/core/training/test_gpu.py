"""The paths for GPUs, compared with the plain model on the GPU."""

import copy

import pytest
import torch
from torch.nn import functional

from core.archs import Gemma2, Llama4, Olmo2
from core.checkpoints.model import build_model
from core.errors import Stopped
from core.events.types import StageData
from core.spec.training import TrainingSpec
from core.training import loss as loss_module
from core.training.execution.compiled import compile_layers
from core.training.loss import LinearCrossEntropy, summed_loss
from core.training.model.attention.select import attention_mask_arguments, use_blocks, use_flex
from core.training.model.moe.experts import use_sparse_experts
from core.training.optimizers.builders import build_optimizer

pytestmark = [
    pytest.mark.gpu,
    # Compiling causes warnings about torch itself.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
SHAPES = [(3000, 3000), (30, 7)]
"""Shapes of a tensor that is large enough for a kernel of its own, and of one that is not."""
FLIPPED = 0.15
"""Tolerance with experts: in bf16 a few of a thousand tokens choose another expert."""
SHAPE = {"hidden_size": 128, "num_hidden_layers": 2, "max_position_embeddings": 256}


def plain_and_fast(architecture):
    plain = build_model(architecture, vocab_size=512, seed=0).cuda()
    fast = copy.deepcopy(plain)
    use_sparse_experts(fast)
    return plain, fast


def check(plain, fast, *, tolerance, segments=None):
    inputs, targets = torch.randint(0, 512, (2, 4, 256), device="cuda")  # (4, 256) each
    with torch.autocast("cuda", dtype=torch.bfloat16):
        seen = attention_mask_arguments(plain, inputs, segments)
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
    check(plain, fast, tolerance=FLIPPED)


def test_an_expert_that_no_token_chose_has_a_gradient_of_zero_there_too():
    _, fast = plain_and_fast(Llama4(num_attention_heads=4, num_local_experts=8, **SHAPE))
    ids = torch.zeros(4, 256, dtype=torch.int64, device="cuda")
    for _ in range(2):  # in the second call, memory has old contents
        fast.zero_grad()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            summed_loss(fast, ids, ids).backward()
    experts = fast.model.layers[0].feed_forward.experts
    for weight in (experts.gate_up_proj, experts.down_proj):
        sizes = weight.grad.flatten(1).norm(dim=1)  # (8,)
        assert sizes.isfinite().all()
        assert 1 <= (sizes > 0).sum() < 8


@pytest.mark.parametrize("activation", ["silu", "gelu", "relu"])
def test_experts_with_any_activation_are_the_plain_ones(activation):
    shape = {"num_attention_heads": 4, "num_local_experts": 4, "hidden_act": activation}
    check(*plain_and_fast(Llama4(**shape, **SHAPE)), tolerance=FLIPPED)


@pytest.mark.parametrize("kv_heads", [2, 4])
def test_attention_without_a_cap_is_the_plain_model_in_bf16(kv_heads):
    shape = {"num_attention_heads": 4, "num_key_value_heads": kv_heads}
    plain, fast = plain_and_fast(Olmo2(**shape, **SHAPE))
    use_blocks(fast)
    check(plain, fast, tolerance=0.05)


@pytest.mark.parametrize("cap", [None, 30.0])
@pytest.mark.parametrize("vocabulary", [512, 4097])
@pytest.mark.parametrize("coefficient", [0.0, 1e-2])
def test_the_loss_in_one_kernel_is_the_loss_in_many(cap, vocabulary, coefficient, monkeypatch):
    rows = torch.randn(700, 64, device="cuda")
    weight = torch.randn(vocabulary, 64, device="cuda")
    targets = torch.randint(0, vocabulary, (700,), device="cuda")
    targets[::7] = loss_module.IGNORED
    outcomes = []
    for has_triton in (True, False):
        monkeypatch.setattr(loss_module, "HAS_TRITON", has_triton)
        leaves = [tensor.clone().requires_grad_() for tensor in (rows, weight)]
        objective, loss = LinearCrossEntropy.apply(*leaves, targets, cap, coefficient, True)
        objective.backward()
        with torch.no_grad():
            alone, _ = LinearCrossEntropy.apply(rows, weight, targets, cap, 0.0, False)
        assert alone.item() == pytest.approx(loss.item(), rel=1e-6)
        outcomes.append([objective.detach(), *(leaf.grad for leaf in leaves)])
    for actual, expected in zip(*outcomes, strict=True):
        assert torch.allclose(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("way", ["flex", "blocks"])
def test_capped_attention_is_the_plain_model_in_bf16(way):
    plain, fast = plain_and_fast(Gemma2(num_attention_heads=4, head_dim=32, **SHAPE))
    if way == "flex":
        use_flex(fast)
    else:
        use_blocks(fast)
    check(plain, fast, tolerance=0.05)


@pytest.mark.parametrize("way", ["flex", "blocks"])
@pytest.mark.parametrize("window", [32, 4096])
def test_documents_kept_apart_are_the_plain_model_with_a_mask_in_bf16(way, window):
    shape = {"num_attention_heads": 4, "head_dim": 32, "sliding_window": window}
    plain, fast = plain_and_fast(Gemma2(**shape, **SHAPE))
    if way == "flex":
        use_flex(fast)
    else:
        use_blocks(fast)
    segments = (torch.rand(4, 256, device="cuda") < 0.05).cumsum(dim=1)
    check(plain, fast, tolerance=0.05, segments=segments)


def test_compiled_layers_are_the_plain_model_in_bf16(tmp_path):
    plain, fast = plain_and_fast(Llama4(num_attention_heads=4, num_local_experts=8, **SHAPE))
    use_blocks(fast)
    compile_layers(fast, cache=tmp_path)
    check(plain, fast, tolerance=FLIPPED)


def test_large_tensors_are_updated_as_torch_updates_them():
    large, small = (torch.nn.Parameter(torch.randn(shape, device="cuda")) for shape in SHAPES)
    copies = [torch.nn.Parameter(each.detach().clone()) for each in (large, small)]
    ours = build_optimizer(torch.nn.ParameterList([large, small]), TrainingSpec())
    theirs = torch.optim.AdamW(copies, lr=5e-4, weight_decay=0.01, fused=True)
    ours.found_inf = torch.zeros((), device="cuda")
    ours.grad_scale = torch.tensor(1.7, device="cuda")
    for _ in range(4):
        for mine, copy_ in zip((large, small), copies, strict=True):
            mine.grad = torch.randn_like(mine)
            copy_.grad = mine.grad / 1.7
        ours.step()
        theirs.step()
    for mine, copy_ in zip((large, small), copies, strict=True):
        assert torch.allclose(mine, copy_, rtol=1e-5, atol=1e-6)
        assert ours.state[mine]["step"].item() == 4.0
    before = large.detach().clone()
    ours.found_inf.fill_(1.0)
    ours.step()
    assert large.equal(before)
    assert ours.state[large]["step"].item() == 4.0


@pytest.mark.parametrize("micro_batch_size", [None, 2])
@pytest.mark.parametrize("architecture", ["gemma2", "llama4", "olmo2"])
def test_a_run_with_cuda_graphs_has_the_curve_of_one_without(
    tiny_run, architecture, micro_batch_size
):
    options = {"micro_batch_size": micro_batch_size, "precision": "bf16"}
    one, two = (
        tiny_run(architecture, name=name, compile=name == "recorded", max_steps=30, **options)
        for name in ("recorded", "plain")
    )
    one.go()
    two.go()
    counts = [event.counts for event in one.of(StageData) if event.stage == "train"]
    assert counts[-1]["cuda_graph"]
    assert one.values("train/loss")[30] < 0.97 * one.values("train/loss")[1]
    for name in ("train/loss", "validation/loss"):
        assert one.values(name) == pytest.approx(two.values(name), rel=3e-2)


def test_a_run_with_cuda_graphs_resumes_where_it_stopped(tiny_run):
    whole, components = (tiny_run("llama4", name=name, compile=True) for name in ("whole", "parts"))
    whole.go()
    with pytest.raises(Stopped):
        components.go(stop_at=6)
    components.go()
    assert components.values("train/loss") == pytest.approx(whole.values("train/loss"), rel=1e-2)


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
