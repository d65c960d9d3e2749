"""Our attention for Llama 4 gives the same results as that of transformers, in fp32 and in bf16.

Loss and gradients of whole models in float64 are in test_fast_paths.py.
"""

import copy
from statistics import mean

import pytest
import torch
from transformers.models.llama4.modeling_llama4 import Llama4TextAttention, apply_rotary_emb

from core.archs import Llama4
from core.checkpoints.model import build_model, checkpoint_activations
from core.training.model.attention.llama4 import FusibleAttention, rotated, use_fusible_attention
from core.training.model.attention.norms import rotated_unit_norm, unit_norm
from core.training.model.attention.select import library_attention, use_blocks

LENGTH = 48
BATCHES = 8
DTYPES = [torch.float32, torch.bfloat16]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def plain_model(**options):
    shape = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4}
    options = {"num_local_experts": 0, "max_position_embeddings": 64} | shape | options
    model = build_model(Llama4(**options), vocab_size=300, seed=0)
    for layer in model.model.layers:  # the usual 8192 would need long sequences
        layer.self_attn.floor_scale = 8
    return model


def fused(plain, *, blocks=False):
    model = copy.deepcopy(plain)
    (use_blocks if blocks else use_fusible_attention)(model)
    return model


def some_tokens(length=LENGTH, seed=1):
    return torch.randint(0, 300, (3, length), generator=torch.Generator().manual_seed(seed))


def logits_of(model, inputs):
    return model(input_ids=inputs, use_cache=False).logits


def gradients(model, inputs):
    logits_of(model, inputs).float().pow(2).mean().backward()
    return {name: parameter.grad.double() for name, parameter in model.named_parameters()}


def distances(actual, expected):
    return {
        name: ((actual[name] - gradient).norm() / gradient.norm()).item()
        for name, gradient in expected.items()
    }


def mean_distances(model, exact):
    """Mean distances of the gradients in bf16 from the exact ones, by parameter."""
    found = []
    for seed in range(BATCHES):
        inputs = some_tokens(seed=seed)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            actual = gradients(model, inputs)
        found.append(distances(actual, gradients(exact, inputs)))
        model.zero_grad()
        exact.zero_grad()
    return {name: mean(each[name] for each in found) for name in found[0]}


def rows_and_angles(dtype):
    torch.manual_seed(2)
    rows = torch.randn(3, LENGTH, 4, 8).to(dtype).requires_grad_()
    angles = torch.rand(1, LENGTH, 4) * 6
    return rows, torch.polar(torch.ones_like(angles), angles)


@pytest.mark.parametrize("way", ["as written", "compiled"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_turned_as_by_transformers(dtype, way, monkeypatch):
    rows, angles = rows_and_angles(dtype)
    upstream = torch.randn(rows.shape).to(dtype)
    expected, _ = apply_rotary_emb(rows, rows, angles)
    (expected_gradient,) = torch.autograd.grad(expected, rows, upstream)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: way == "compiled")
    turned = rotated(rows, torch.view_as_real(angles))
    (gradient,) = torch.autograd.grad(turned, rows, upstream)
    assert turned.dtype == dtype
    rounding = 0.0 if way == "as written" else 2 * torch.finfo(dtype).eps
    torch.testing.assert_close(turned, expected, rtol=rounding, atol=rounding)
    torch.testing.assert_close(gradient, expected_gradient, rtol=rounding, atol=rounding)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("use_qk_norm", [True, False])
def test_logits_are_bit_for_bit_those_of_transformers(implementation, use_qk_norm):
    plain = plain_model(use_qk_norm=use_qk_norm)
    plain.config._attn_implementation = implementation
    expected = logits_of(plain, some_tokens())
    assert torch.equal(logits_of(fused(plain), some_tokens()), expected)


@pytest.mark.parametrize("length", [7, 8, 9])
def test_the_first_token_with_attention_temperature_is_at_floor_scale(length):
    plain = plain_model(no_rope_layer_interval=1)
    expected = logits_of(plain, some_tokens(length))
    assert torch.equal(logits_of(fused(plain), some_tokens(length)), expected)


@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize("use_qk_norm", [True, False])
def test_gradients_in_bf16_are_no_further_off_than_those_of_transformers(use_qk_norm, blocks):
    plain = plain_model(use_qk_norm=use_qk_norm)
    exact, ours = copy.deepcopy(plain).double(), fused(plain, blocks=blocks)
    # Which way a bf16 value is rounded depends on the vector instructions of the machine, so the
    # distances for one batch vary by half. Their means over several batches do not.
    theirs, ours = (mean_distances(model, exact) for model in (plain, ours))
    for name, distance in ours.items():
        assert distance < 1.2 * theirs[name] + 0.002, name


@pytest.mark.parametrize("blocks", [True, False])
def test_a_cache_gives_what_transformers_generates(blocks):
    plain = plain_model().eval()
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            if parameter.ndim == 2 and "embed" not in name:
                parameter.mul_(8.0)  # otherwise every continuation is the same token
    model = fused(plain, blocks=blocks)
    options = {"max_new_tokens": 20, "do_sample": False, "use_cache": True}
    options |= {"output_logits": True, "return_dict_in_generate": True}
    prompt = {"input_ids": some_tokens(5), "attention_mask": torch.ones(3, 5, dtype=torch.int64)}
    expected = plain.generate(**prompt, **options)
    with library_attention(model):
        written = model.generate(**prompt, **options)
    assert len(written.sequences.unique()) > 10
    assert torch.equal(written.sequences, expected.sequences)
    assert all(map(torch.equal, written.logits, expected.logits))


def test_recomputed_layers_have_the_same_gradients():
    once = fused(plain_model(), blocks=True)
    again = copy.deepcopy(once)
    checkpoint_activations(again)
    expected = gradients(once, some_tokens())
    assert all(
        torch.equal(gradient, expected[name])
        for name, gradient in gradients(again, some_tokens()).items()
    )


def kept_bytes(model):
    """Bytes that the forward pass keeps for the backward pass, without the weights."""
    kept = {parameter.untyped_storage().data_ptr(): 0 for parameter in model.parameters()}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept.setdefault(storage.data_ptr(), storage.nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = logits_of(model, some_tokens()).sum()
    # This use of the loss keeps its graph, and with it every tensor, in memory until here. So no
    # two tensors had the same address.
    assert loss.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize("dtype", DTYPES)
def test_queries_and_keys_are_kept_once(dtype):
    plain = plain_model(num_key_value_heads=4)
    ours = fused(plain)
    with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        saved = kept_bytes(plain) - kept_bytes(ours)
    # In each of three layers, our code does not keep the float32 input of the norm of the queries
    # and of the keys.
    assert saved > 3 * 2 * (3 * LENGTH * 4 * 8) * 4 * 0.9


# Compiling causes warnings about torch itself.
@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_a_compiled_layer_meets_no_complex_number():
    model = fused(plain_model(), blocks=True)
    dtypes = set()

    def look(graph, inputs):
        dtypes.update(tensor.dtype for tensor in inputs if isinstance(tensor, torch.Tensor))
        for part in graph.modules():
            for node in getattr(part, "graph", torch.fx.Graph()).nodes:
                dtypes.add(getattr(node.meta.get("example_value"), "dtype", None))
        return graph

    for layer in model.model.layers:
        layer.compile(backend=look, dynamic=False)
    logits = logits_of(model, some_tokens())
    logits.sum().backward()
    assert torch.float32 in dtypes
    assert not any(dtype.is_complex for dtype in dtypes if dtype is not None)


def test_a_model_is_changed_once_and_stays_in_its_mode():
    model = plain_model().eval()
    names = list(model.state_dict())
    for _ in range(2):
        use_fusible_attention(model)
    kinds = {type(layer.self_attn) for layer in model.model.layers}
    assert kinds == {FusibleAttention}
    assert not any(isinstance(module, Llama4TextAttention) for module in model.modules())
    assert not any(module.training for module in model.modules())
    assert list(model.state_dict()) == names
    assert logits_of(model, some_tokens()).isfinite().all()


# Compiling causes warnings about torch itself.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.parametrize("is_compiled", [False, True])
def test_the_norm_of_what_is_turned_is_one_after_the_other(is_compiled):
    angles = torch.view_as_real(torch.polar(torch.ones(1, 6, 4), torch.randn(1, 6, 4)))
    rows, upstream = torch.randn(2, 2, 6, 3, 8)  # (B, T, H, d) each
    outcomes = []
    for function in (
        lambda rows: rotated_unit_norm(rows, angles, 1e-5),
        lambda rows: unit_norm(rotated(rows, angles), 1e-5),
    ):
        leaf = rows.clone().requires_grad_()
        output = (torch.compile(function, backend="aot_eager") if is_compiled else function)(leaf)
        output.backward(upstream)
        outcomes.append((output.detach(), leaf.grad))
    for actual, expected in zip(*outcomes, strict=True):
        assert torch.allclose(actual, expected, rtol=1e-5, atol=1e-6)
