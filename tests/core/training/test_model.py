"""Models follow the spec, and their parameters are counted without building them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from core.archs import ARCHITECTURES, Gemma2, Llama4, Olmo2
from core.checkpoints.model import build_model
from core.training.loss import summed_loss
from core.training.model.attention.masks import AttentionSpan, explicit_mask
from core.training.model.moe.experts import balance_loss

VARIANTS = [
    Gemma2(hidden_size=32, num_hidden_layers=3, max_position_embeddings=64),
    Gemma2(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        head_dim=8,
        max_position_embeddings=64,
        final_logit_softcapping=None,
    ),
    Llama4(hidden_size=32, num_hidden_layers=2, num_local_experts=4, max_position_embeddings=64),
    Llama4(hidden_size=32, num_hidden_layers=2, num_local_experts=0, max_position_embeddings=64),
    Olmo2(hidden_size=32, num_hidden_layers=2, max_position_embeddings=64),
    Olmo2(
        hidden_size=32,
        num_hidden_layers=2,
        attention_bias=True,
        tie_word_embeddings=False,
        max_position_embeddings=64,
    ),
]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(sorted(ARCHITECTURES)),
    heads=st.sampled_from([1, 2, 4, 8]),
    width=st.sampled_from([2, 4, 8]),
    layers=st.integers(1, 5),
    options=st.fixed_dictionaries(
        {"tie_word_embeddings": st.booleans(), "attention_bias": st.booleans()}
    ),
    experts=st.integers(0, 4),
    interleave=st.integers(1, 3),
)
def test_the_parameter_count_is_that_of_the_built_model(
    name, heads, width, layers, options, experts, interleave
):
    fields = {
        "hidden_size": max(8, heads * width),
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "max_position_embeddings": 32,
        **options,
    }
    if name == "llama4":
        fields |= {"num_local_experts": experts, "interleave_moe_layer_step": interleave}
    architecture = ARCHITECTURES[name].model_validate(fields)
    with torch.device("meta"):
        model = build_model(architecture, vocab_size=300, seed=0)
    built = sum(parameter.numel() for parameter in model.parameters())
    assert architecture.num_parameters(vocab_size=300) == built


@pytest.mark.parametrize("architecture", VARIANTS, ids=lambda a: a.architecture)
def test_every_argument_reaches_the_configuration(architecture):
    model = build_model(architecture, vocab_size=300, seed=0)
    for name, value in architecture.config_arguments(vocab_size=300).items():
        actual = getattr(model.config, name)
        if name == "rope_parameters":
            assert actual["rope_theta"] == value["rope_theta"]
        else:
            assert actual == value, name


@pytest.mark.parametrize("architecture", VARIANTS, ids=lambda a: a.architecture)
def test_loss_and_gradients_are_those_of_the_plain_model_in_float64(architecture):
    model = build_model(architecture, vocab_size=300, seed=0).double()
    generator = torch.Generator().manual_seed(1)
    inputs, targets = torch.randint(0, 300, (2, 3, 16), generator=generator)  # (3, 16) each
    targets[0, -5:] = -100
    ours = summed_loss(model, inputs, targets)
    ours.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    logits = model(input_ids=inputs).logits
    plain = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
    plain.backward()
    assert ours.item() == pytest.approx(plain.item(), rel=1e-12)
    for name, parameter in model.named_parameters():
        assert torch.allclose(gradients[name], parameter.grad, rtol=1e-9, atol=1e-12), name
    assert all(gradient.abs().sum() > 0 for gradient in gradients.values()) or (
        architecture.architecture == "llama4"  # an expert that no token chose has no gradient
    )


def test_chunks_do_not_change_the_loss(monkeypatch):
    model = build_model(VARIANTS[0], vocab_size=300, seed=0).double()
    inputs = torch.arange(48).view(3, 16)
    whole = summed_loss(model, inputs, inputs)
    monkeypatch.setattr("core.training.loss.CHUNK_ELEMENTS", {"cpu": 300 * 7})
    monkeypatch.setattr("core.training.loss.CHUNK_ROWS", 7)
    components = summed_loss(model, inputs, inputs)
    assert components.item() == pytest.approx(whole.item(), rel=1e-12)


def test_the_same_seed_gives_the_same_weights_and_another_others():
    first, again, other = (
        build_model(VARIANTS[4], vocab_size=300, seed=seed).lm_head.weight for seed in (0, 0, 1)
    )
    assert first.equal(again)
    assert not first.equal(other)


def test_the_balance_loss_is_one_for_even_use_and_the_number_of_experts_for_one_alone():
    even = torch.eye(4).repeat(2, 1) * 1e-3
    assert balance_loss(even, torch.full((4,), 0.25)).item() == pytest.approx(1.0)
    alone = torch.tensor([[50.0, 0.0, 0.0, 0.0]]).repeat(8, 1)
    assert balance_loss(alone, torch.tensor([1.0, 0, 0, 0])).item() == pytest.approx(4.0)


def test_an_explicit_mask_hides_the_future_and_other_segments():
    mask = explicit_mask(torch.tensor([[0, 0, 1]]), AttentionSpan(), torch.float32)
    assert mask.shape == (1, 1, 3, 3)
    assert (mask[0, 0] == 0).tolist() == [
        [True, False, False],
        [True, True, False],
        [False, False, True],
    ]
