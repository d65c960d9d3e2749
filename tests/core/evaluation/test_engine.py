"""Packed rows give the same results as each text alone, for all architectures."""

from array import array

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Llama4ForCausalLM,
    Llama4TextConfig,
    Olmo2Config,
    Olmo2ForCausalLM,
)

from core.evaluation.engine import batches, log_probabilities, may_pack
from core.evaluation.rows import Chain, Encoded, candidate_chains, pack_rows

SHAPE = {
    "vocab_size": 120,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 128,
    "pad_token_id": None,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
MODELS = {
    "olmo2": lambda: Olmo2ForCausalLM(Olmo2Config(**SHAPE)),
    "gemma2": lambda: Gemma2ForCausalLM(
        Gemma2Config(**SHAPE, head_dim=16, sliding_window=8, query_pre_attn_scalar=16)
    ),
    "llama4": lambda: Llama4ForCausalLM(
        Llama4TextConfig(
            **SHAPE,
            head_dim=16,
            num_local_experts=2,
            attention_chunk_size=8,
            intermediate_size_mlp=48,
        )
    ),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    made = MODELS[request.param]().eval()
    with torch.no_grad():  # makes predictions far from uniform, so that errors show
        for parameter in made.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
    return made


@torch.no_grad()
def reference(model, ids, first_scored):
    """The log-probability of one text alone, summed over the tokens from `first_scored` on."""
    logits = model(input_ids=torch.tensor([list(ids)])).logits[0].double().log_softmax(-1)
    return sum(logits[i - 1, ids[i]].item() for i in range(max(1, first_scored), len(ids)))


def draw(seed, length):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, 120, (length,), generator=generator).tolist()


def sums(model, rows, slots, tokens=64):
    found = [0.0] * slots
    for batch in batches(rows, begin=0, tokens=tokens):
        values = iter(log_probabilities(model, batch))
        for row in batch:
            for slot in row.slots:
                found[slot] += next(values)
    return found


def rows_of(item, *, packs):
    return pack_rows(candidate_chains(item, slot=0), branches=packs)


def one_prediction(context, target, slot):
    return Chain(array("i", [*context, target]), len(context), slot)


@pytest.mark.parametrize("packs", [True, False])
def test_differences_between_candidates_are_those_of_the_texts_alone(model, packs):
    items = []
    for seed in range(12):
        # The candidates of item 5 begin with the same 5 tokens, those of item 0 with none. Some
        # items, such as 1 and 6, also share first tokens with each other.
        shared = draw(seed % 5, seed)
        ends = [draw(100 * seed + k + 7, 1 + (seed + k) % 6) for k in range(2 + seed % 3)]
        items.append([Encoded([*shared, *end], seed // 2) for end in ends])
    chains, slot = [], 0
    for item in items:
        chains += candidate_chains(item, slot=slot)
        slot += len(item)
    rows = pack_rows(chains, branches=packs)
    assert any(not row.is_chain for row in rows) is packs
    found = sums(model, rows, slot)
    at = 0
    for item in items:
        alone = [reference(model, each.ids, each.first_scored) for each in item]
        here = found[at : at + len(item)]
        for ours, theirs in zip(here, alone, strict=True):
            assert ours - here[0] == pytest.approx(theirs - alone[0], abs=2e-4)
        at += len(item)


def test_packing_computes_shared_tokens_once():
    item = [Encoded([1, 2, 3, 4, 5], 0), Encoded([1, 2, 3, 6, 7], 0)]
    [row] = rows_of(item, packs=True)
    assert list(row.ids) == [1, 2, 3, 4, 6]
    assert list(row.positions) == [0, 1, 2, 3, 3]
    assert list(row.ends) == [5, 5, 5, 4, 5]
    assert list(row.indices) == [2, 3, 2, 4]
    assert list(row.targets) == [4, 5, 6, 7]
    assert list(row.relative) == [1, 0, 1, 0]
    assert sum(len(row.ids) for row in rows_of(item, packs=False)) == 8


def test_items_share_tokens_with_each_other():
    chains = []
    for slot, end in enumerate([[4, 5, 6], [4, 5, 7], [8, 9, 6], [4, 5, 6]]):
        chains.append(Chain(array("i", [1, 2, *end]), 2, slot))
    [row] = pack_rows(chains, branches=True)
    assert sorted(zip(row.ids, row.positions, strict=True)) == [
        (1, 0),
        (2, 1),
        (4, 2),
        (5, 3),
        (8, 2),
        (9, 3),
    ]
    assert len(row.indices) == 12


def test_sequences_without_common_tokens_have_separate_rows():
    chains = [Chain(array("i", [first, 2, 3]), 1, 0) for first in (1, 4, 5)]
    assert [list(row.ids) for row in pack_rows(chains, branches=True)] == [[1, 2], [4, 2], [5, 2]]


def test_candidates_scored_from_different_positions_share_only_equally_scored_tokens():
    item = [Encoded([1, 2, 3, 4], 1), Encoded([1, 2, 3, 4], 3)]
    [row] = rows_of(item, packs=True)
    assert list(row.slots) == [0, 0, 0, 1]
    assert not any(row.relative)


def test_equal_candidates_tie_exactly(model):
    item = [Encoded([1, 2, 3], 0)] * 2
    assert rows_of(item, packs=True) == []


def test_large_and_small_logits_are_normalized_exactly(model):
    chain = Chain(array("i", [5, 6, 7, 8]), 1, 0)
    rows = pack_rows([chain], branches=True)
    weight = model.lm_head.weight
    kept = weight.detach().clone()
    try:
        for factor in (0.0, 1.0, 40.0, 1e4):
            with torch.no_grad():
                weight.copy_(kept * factor)
            expected = reference(model, [5, 6, 7, 8], 0)
            assert sums(model, rows, 1) == [pytest.approx(expected, rel=1e-5, abs=2e-4)]
    finally:
        with torch.no_grad():
            weight.copy_(kept)


def test_one_candidate_that_begins_the_other(model):
    item = [Encoded([5, 6, 7], 0), Encoded([5, 6, 7, 8, 9], 0)]
    for packs in (True, False):
        found = sums(model, rows_of(item, packs=packs), 2)
        alone = [reference(model, each.ids, 0) for each in item]
        assert found[1] - found[0] == pytest.approx(alone[1] - alone[0], abs=2e-4)


def test_contexts_that_begin_longer_ones_share_their_row(model):
    text = draw(3, 20)
    queries = [(tuple(text[:length]), text[length], length) for length in (1, 4, 19)]
    queries += [((7, 7), 5, 20), ((7, 7), 6, 20)]
    rows = pack_rows([one_prediction(*query) for query in queries], branches=False)
    assert sorted(len(row.ids) for row in rows) == [2, 19]
    found = sums(model, rows, 21)
    for context, target, slot in queries[:3]:
        assert found[slot] == pytest.approx(
            reference(model, [*context, target], len(context)), abs=2e-4
        )
    both = [reference(model, [7, 7, target], 2) for target in (5, 6)]
    assert found[20] == pytest.approx(sum(both), abs=2e-4)


def test_a_batch_has_a_maximum_number_of_tokens_and_a_long_row_is_alone():
    chains = [
        one_prediction((number, *[1] * length), 2, 0) for number, length in enumerate([3, 3, 4, 30])
    ]
    rows = pack_rows(chains, branches=True)
    parts = list(batches(rows, begin=0, tokens=12))
    assert [[len(row.ids) for row in part] for part in parts] == [[4, 4], [5], [31]]
    assert [len(part) for part in batches(rows, begin=1, tokens=12)] == [2, 1]


def test_rows_beyond_the_query_scale_of_llama4_are_not_packed():
    made = Llama4ForCausalLM(
        Llama4TextConfig(**SHAPE, head_dim=16, intermediate_size_mlp=48, floor_scale=8)
    )
    assert may_pack(made, 7)
    assert not may_pack(made, 8)
