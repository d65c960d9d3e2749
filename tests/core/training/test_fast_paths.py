"""Every fast path gives the loss and all gradients of the plain Hugging Face model in float64."""

import copy
from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from core.archs import Gemma2
from core.checkpoints.model import build_model
from core.dataset.batches import segments
from core.tokenizer.specials import END_OF_TEXT_ID
from core.training.execution.compiled import compile_layers
from core.training.loss import objective_and_loss, summed_loss
from core.training.model.attention import blocks
from core.training.model.attention.select import (
    FLEX,
    NAME,
    attention_mask_arguments,
    eager_mode,
    library_attention,
    use_blocks,
    use_flex,
)
from core.training.model.moe import grouped
from core.training.model.moe.experts import use_sparse_experts
from tests.core.training.shapes import MODELS, SHAPE

LENGTH = 80
"""Number of tokens of a sequence: more than a block of queries, and not a multiple of a block."""


@pytest.fixture(autouse=True)
def _float64_throughout(monkeypatch):
    """Makes transformers compute only in float64. By default, transformers computes norms,
    softmaxes and the angles of rotary embeddings in float32. Its rounding can turn a difference of
    1e-16 into one of 1e-7.
    """
    torch.set_num_threads(1)
    to, softmax = torch.Tensor.to, functional.softmax

    def stay(tensor, *arguments, **keywords):
        if torch.float32 in (*arguments[:1], keywords.get("dtype")):
            return to(tensor, torch.float64)
        return to(tensor, *arguments, **keywords)

    def wide_softmax(tensor, dim=None, dtype=None):
        return softmax(tensor, dim=dim, dtype=None if tensor.dtype == torch.float64 else dtype)

    monkeypatch.setattr(torch.Tensor, "to", stay)
    monkeypatch.setattr(torch.Tensor, "float", lambda tensor: stay(tensor, torch.float32))
    monkeypatch.setattr(functional, "softmax", wide_softmax)


def plain_model(architecture):
    model = build_model(architecture, vocab_size=300, seed=0).double()
    with torch.no_grad():  # weights so large that scores, caps and routers matter
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2 and "embed" not in name:
                parameter.mul_(8.0)
    return model


def fast_model(plain):
    model = copy.deepcopy(plain)
    use_sparse_experts(model)
    use_blocks(model)
    return model


def some_tokens():
    generator = torch.Generator().manual_seed(1)
    inputs, targets = torch.randint(0, 300, (2, 3, LENGTH), generator=generator)  # (3, T) each
    targets[0, -7:] = -100
    return inputs, targets


def loss_and_gradients(model, inputs, targets, **seen):
    logits = model(input_ids=inputs, use_cache=False, **seen).logits
    loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
    loss.backward()
    return loss.item(), {name: parameter.grad for name, parameter in model.named_parameters()}


def assert_same(loss, model, expected_loss, expected):
    assert loss.item() == pytest.approx(expected_loss, rel=1e-11)
    actual = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert actual.keys() == expected.keys()
    for name, gradient in expected.items():
        scale = gradient.abs().max().item()
        assert torch.allclose(actual[name], gradient, rtol=1e-8, atol=1e-10 * (1 + scale)), name


def assert_as_plain(plain):
    """The fast model has the loss and every gradient of the plain one."""
    fast = fast_model(plain)
    inputs, targets = some_tokens()
    expected_loss, expected = loss_and_gradients(plain, inputs, targets)
    loss = summed_loss(fast, inputs, targets)
    loss.backward()
    assert_same(loss, fast, expected_loss, expected)


@pytest.mark.parametrize("name", MODELS)
def test_loss_and_every_gradient_are_those_of_the_plain_model(name):
    assert_as_plain(plain_model(MODELS[name]))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("coefficient", [1e-4, 0.5])
def test_the_z_loss_and_every_gradient_are_those_of_the_plain_model(name, coefficient):
    plain = plain_model(MODELS[name])
    fast = fast_model(plain)
    inputs, targets = some_tokens()
    logits = plain(input_ids=inputs, use_cache=False).logits.flatten(0, 1)
    cross_entropy = functional.cross_entropy(logits, targets.flatten(), reduction="sum")
    squares = logits.logsumexp(1).square()[targets.flatten() != -100].sum()
    expected = cross_entropy + coefficient * squares
    expected.backward()
    objective, loss = objective_and_loss(
        fast, inputs, targets, None, z_loss_coefficient=coefficient
    )
    objective.backward()
    gradients = {name: parameter.grad for name, parameter in plain.named_parameters()}
    assert_same(objective, fast, expected.item(), gradients)
    assert loss.item() == pytest.approx(cross_entropy.item(), rel=1e-11)
    assert not loss.requires_grad


@pytest.mark.parametrize("way", ["blocks", "library"])
@pytest.mark.parametrize("name", ["gemma2", "gemma2-sliding", "llama4", "llama4-chunks", "olmo2"])
def test_segments_are_those_of_a_plain_model_with_an_explicit_mask(name, way):
    plain = plain_model(MODELS[name])
    fast = fast_model(plain)
    inputs, targets = some_tokens()
    segments = torch.zeros(3, LENGTH, dtype=torch.int32)
    segments[0, 30:], segments[0, 70:], segments[2, 1:] = 1, 2, 5
    masks = reference_masks(plain.config, segments)
    expected_loss, expected = loss_and_gradients(plain, inputs, targets, attention_mask=masks)
    if way == "library":
        with library_attention(fast):
            loss = summed_loss(fast, inputs, targets, segments)
    else:
        loss = summed_loss(fast, inputs, targets, segments)
    loss.backward()
    assert_same(loss, fast, expected_loss, expected)


@pytest.mark.parametrize("way", ["blocks", "library"])
@pytest.mark.parametrize("name", MODELS)
def test_packed_documents_are_the_documents_alone(name, way):
    plain = plain_model(MODELS[name])
    fast = fast_model(plain)
    inputs, targets = some_documents()
    expected_loss, expected = losses_of_documents_alone(plain, inputs, targets)
    seen = torch.from_numpy(segments(inputs.numpy()))
    with library_attention(fast) if way == "library" else nullcontext():
        loss = summed_loss(fast, inputs, targets, seen)
        loss.backward()
    assert_same(loss, fast, expected_loss, expected)


def some_documents():
    """Windows with documents of all kinds of lengths: empty, one token, longer than the window."""
    inputs, targets = some_tokens()
    inputs = inputs.where(inputs != END_OF_TEXT_ID, 5)
    for sequence, places in enumerate([[0, 1, 30, 79], [3, 4, 5, 50], []]):
        inputs[sequence, places] = END_OF_TEXT_ID
    return inputs, targets


def losses_of_documents_alone(plain, inputs, targets):
    """The loss of the plain model on each document (up to its `<|endoftext|>`) alone, summed."""
    total = torch.zeros((), dtype=torch.float64)
    for row, expected in zip(inputs, targets, strict=True):
        ends = [*(row == END_OF_TEXT_ID).nonzero().flatten().tolist(), len(row)]
        for begin, end in zip([0, *ends], ends, strict=False):
            if begin < end:
                alone = row[None, begin:end]
                logits = plain(input_ids=alone, use_cache=False).logits[0]
                total += functional.cross_entropy(logits, expected[begin:end], reduction="sum")
    total.backward()
    return total.item(), {name: parameter.grad for name, parameter in plain.named_parameters()}


def test_layers_with_attention_temperature_count_from_the_document():
    plain = plain_model(MODELS["llama4"])
    for layer in plain.model.layers:
        layer.self_attn.floor_scale = 8  # the usual 8192 would need long sequences
    fast = fast_model(plain)
    inputs, targets = some_documents()
    expected_loss, expected = losses_of_documents_alone(plain, inputs, targets)
    loss = summed_loss(fast, inputs, targets, torch.from_numpy(segments(inputs.numpy())))
    loss.backward()
    assert_same(loss, fast, expected_loss, expected)


# Loading inductor causes a warning about torch itself. Flex attention that is not compiled warns
# that it is slow.
@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:flex_attention called without:UserWarning")
@pytest.mark.parametrize("name", ["gemma2", "gemma2-sliding", "llama4-chunks", "olmo2"])
def test_the_mask_of_flex_attention_hides_the_same(name):
    # Only the forward pass: torch has no backward pass of flex attention on a CPU.
    fast = fast_model(plain_model(MODELS[name]))
    inputs, targets = some_documents()
    seen = torch.from_numpy(segments(inputs.numpy()))
    expected = summed_loss(fast, inputs, targets, seen)
    use_flex(fast)
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        loss = summed_loss(fast, inputs, targets, seen)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-11)


def test_compiled_flex_attention_becomes_blocks_in_eager_mode():
    fast = fast_model(plain_model(MODELS["gemma2"]))
    inputs, targets = some_tokens()
    expected = summed_loss(fast, inputs, targets).item()
    use_flex(fast)
    compile_layers(fast, cache=None)
    with torch.no_grad(), eager_mode(fast):
        assert summed_loss(fast, inputs, targets).item() == expected
        with library_attention(fast):
            assert fast.config._attn_implementation not in (FLEX, NAME)
    assert fast.config._attn_implementation == FLEX


def reference_masks(config, segments):
    """The expected mask, position by position, from the definitions of the three layer kinds."""
    length = segments.shape[1]
    masks = {}
    for kind in ("full_attention", "sliding_attention", "chunked_attention"):
        mask = torch.full((len(segments), 1, length, length), -1e30, dtype=torch.float64)
        for row, column in [(q, k) for q in range(length) for k in range(q + 1)]:
            if kind == "sliding_attention" and row - column >= getattr(
                config, "sliding_window", length
            ):
                continue
            size = getattr(config, "attention_chunk_size", length)
            for sequence in range(len(segments)):
                own = segments[sequence].tolist()
                first = own.index(own[row])  # each segment begins a new chunk
                is_near = (row - first) // size == (column - first) // size
                if own[row] == own[column] and (is_near or kind != "chunked_attention"):
                    mask[sequence, 0, row, column] = 0.0
        masks[kind] = mask
    return masks["full_attention"] if config.model_type == "olmo2" else masks


def test_a_window_no_shorter_than_the_sequence_is_full_attention():
    wide = Gemma2(num_hidden_layers=2, num_attention_heads=4, sliding_window=LENGTH, **SHAPE)
    fast = fast_model(plain_model(wide))
    inputs, targets = some_tokens()
    loss = summed_loss(fast, inputs, targets).item()
    for layer in fast.model.layers:
        layer.self_attn.sliding_window = None
    assert summed_loss(fast, inputs, targets).item() == loss


def test_a_validation_forms_no_gradients():
    model = fast_model(plain_model(MODELS["olmo2"]))
    inputs, targets = some_tokens()
    with FlopCounterMode(display=False) as trained:
        loss = summed_loss(model, inputs, targets)
    with torch.no_grad(), FlopCounterMode(display=False) as validated:
        assert summed_loss(model, inputs, targets).item() == loss.item()
    # With gradients, `summed_loss` also computes the gradients of the hidden states and of the
    # output weights. The counter counts only the operations for the hidden states: it leaves out
    # the product for the weights, which is an addition in place (`addmm_`).
    product = 2 * inputs.numel() * model.lm_head.weight.numel()
    assert trained.get_total_flops() - validated.get_total_flops() == product


def test_an_expert_that_no_token_chose_has_a_gradient_of_zero():
    model = fast_model(plain_model(MODELS["llama4"]))
    summed_loss(
        model, torch.zeros(1, 2, dtype=torch.int64), torch.ones(1, 2, dtype=torch.int64)
    ).backward()
    gradient = model.model.layers[0].feed_forward.experts.down_proj.grad
    used = gradient.flatten(1).abs().sum(dim=1) > 0
    assert 1 <= used.sum() <= 2
    assert gradient.isfinite().all()


def test_groups_that_are_padded_give_the_same(monkeypatch):
    """Groups are padded in bf16 on a CPU. Here they are padded in float64, so that every gradient
    can be compared.
    """
    of, sizes = grouped.Groups.of.__func__, []

    def padded(chosen, count, padded):
        groups = of(grouped.Groups, chosen, count, padded=True)
        sizes.append(groups.ends.diff(prepend=torch.zeros(1, dtype=torch.int32)))
        return groups

    monkeypatch.setattr(grouped, "PADDED_ROWS", 5)
    monkeypatch.setattr(grouped.Groups, "of", padded)
    assert_as_plain(plain_model(MODELS["llama4"]))
    tokens = some_tokens()[0].numel()
    assert sizes
    assert all((size % 5 == 0).all() and size.sum() > tokens for size in sizes)


def test_sparse_experts_keep_the_names_of_the_parameters():
    plain = plain_model(MODELS["llama4"])
    assert list(fast_model(plain).state_dict()) == list(plain.state_dict())


def test_experts_are_replaced_once():
    model = copy.deepcopy(plain_model(MODELS["llama4"]))
    statistics = use_sparse_experts(model)
    replaced = [layer.feed_forward for layer in model.model.layers]
    assert use_sparse_experts(model) is statistics
    assert all(
        layer.feed_forward is one for layer, one in zip(model.model.layers, replaced, strict=True)
    )


def test_router_statistics_count_each_pass_once():
    model = copy.deepcopy(plain_model(MODELS["llama4"]))
    statistics = use_sparse_experts(model)
    inputs, targets = some_tokens()
    statistics.begin_pass()
    summed_loss(model, inputs, targets)
    balance = statistics.end_pass()
    summed_loss(model, inputs, targets)  # not counted: outside of a pass, like a recomputed layer
    metrics = statistics.metrics()
    assert 0.25 <= metrics["experts/max_load_share"].item() <= 1.0
    assert metrics["experts/balance_loss"].item() == pytest.approx(balance.item())
    statistics.clear()
    assert statistics.metrics() == {}


def test_blocks_of_any_size_give_the_same(monkeypatch):
    fast = fast_model(plain_model(MODELS["gemma2-sliding"]))
    inputs, targets = some_tokens()
    losses = []
    for queries, scores in [(7, 1), (64, 1 << 20), (512, 100)]:
        monkeypatch.setattr("core.training.model.attention.blocks.BLOCK_QUERIES", queries)
        monkeypatch.setitem(blocks.BLOCK_SCORES, 8, scores)
        losses.append(summed_loss(fast, inputs, targets).item())
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-12)


def test_segments_are_no_matter_to_the_arguments_of_a_body_without_them():
    fast = fast_model(plain_model(MODELS["olmo2"]))
    assert attention_mask_arguments(fast, some_tokens()[0], None) == {}
