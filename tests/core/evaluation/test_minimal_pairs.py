import json
import math

import pytest
import torch
from transformers import AutoTokenizer, Olmo2Config, Olmo2ForCausalLM

from core.errors import EvaluationInvalid
from core.evaluation.minimal_pairs import SliceState, evaluate_slice, evaluation_result
from core.evaluation.scoring import sentence_scores
from core.evaluation.tasks import read_paradigm, task_names
from core.spec.job import TokenizerSpec
from core.tokenizer.bpe import train_bpe

WORDS = ["dog", "dogs", "cat", "cats", "run", "runs", "see", "sees", "the", "a", "near", "home"]


def sentence(number: int) -> str:
    return " ".join(WORDS[(number * 7 + k * (number + 3)) % 12] for k in range(3 + number % 6))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    text = folder / "text.txt"
    text.write_text("\n".join(sentence(number) for number in range(300)) + "\n")
    train_bpe(
        [text],
        spec=TokenizerSpec(vocab_size=300),
        output=folder,
        progress=lambda _: None,
        should_stop=lambda: False,
    )
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = Olmo2Config(
        vocab_size=300,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        pad_token_id=None,
    )
    made = Olmo2ForCausalLM(config)
    with torch.no_grad():  # far from uniform, so that an error would show
        made.lm_head.weight.mul_(30)
    return made.eval()


@pytest.fixture
def task(tmp_path):
    """Three paradigms: 70 pairs, 5 pairs, and one whose sentences are the same."""
    folder = tmp_path / "evaluations" / "toy"
    folder.mkdir(parents=True)
    pairs = [(sentence(2 * number), sentence(2 * number + 1)) for number in range(75)]
    for name, chosen in (("a", pairs[:70]), ("b", pairs[70:]), ("c", [("a dog", "a dog")] * 4)):
        lines = [
            json.dumps(
                {"sentence_good": good, "sentence_bad": bad, "linguistics_term": f"of {name}"}
            )
            for good, bad in chosen
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@torch.no_grad()
def reference(model, tokenizer, text: str) -> float:
    """One sentence, one token after the other."""
    ids = tokenizer(text)["input_ids"]
    total = 0.0
    for index in range(1, len(ids)):
        logits = model(input_ids=torch.tensor([ids[:index]])).logits[0, -1]
        total += torch.log_softmax(logits, -1)[ids[index]].item()
    return total


def test_a_score_is_the_sum_over_all_tokens_but_the_first(model, tokenizer):
    texts = [sentence(number) for number in range(130)]  # more than two batches
    scores = sentence_scores(model, tokenizer, texts)
    for text, score in list(zip(texts, scores, strict=True))[::10]:
        assert score == pytest.approx(reference(model, tokenizer, text), abs=1e-3)


def test_after_a_start_the_first_token_is_scored_too(model, tokenizer):
    [alone] = sentence_scores(model, tokenizer, ["the dog"])
    [after] = sentence_scores(model, tokenizer, ["the dog"], start=[0])
    assert after < alone - 0.1
    assert sentence_scores(model, tokenizer, []) == []


def test_special_tokens_that_a_tokenizer_adds_are_not_scored(model, tokenizer):
    class WithEnd:
        """Puts token 0 in front and behind, as some tokenizers do by default."""

        def __call__(self, texts, *, return_special_tokens_mask):
            ids = [[0, *tokenizer(text)["input_ids"], 0] for text in texts]
            masks = [[1] + [0] * (len(row) - 2) + [1] for row in ids]
            return {"input_ids": ids, "special_tokens_mask": masks}

    [given] = sentence_scores(model, WithEnd(), ["the dog"])
    [after] = sentence_scores(model, tokenizer, ["the dog"], start=[0])
    assert given == pytest.approx(after, abs=1e-4)


def test_a_single_token_has_nothing_to_score(model, tokenizer):
    assert sentence_scores(model, tokenizer, ["a", ""]) == [0.0, 0.0]


def test_shares_are_counted_by_paradigm_and_ties_both_ways(model, tokenizer, task):
    state = SliceState()
    assert evaluate_slice(model, tokenizer, task, state, seconds=1e9) == 1.0
    result = evaluation_result(state)
    assert [(each.name, each.pairs) for each in result.paradigms] == [("a", 70), ("b", 5), ("c", 4)]
    same = result.paradigms[2]
    assert (same.score, same.strict_score, same.phenomenon) == (1.0, 0.0, "of c")
    pairs = read_paradigm(task / "a.jsonl").pairs
    right = sum(
        reference(model, tokenizer, pair.good) > reference(model, tokenizer, pair.bad)
        for pair in pairs
    )
    assert result.paradigms[0].strict_score == pytest.approx(right / 70)
    assert 0 < right < 70
    assert result.score == pytest.approx(math.fsum(each.score for each in result.paradigms) / 3)
    assert result.pairs == 79


def test_a_slice_without_time_does_one_batch_all_the_same(model, tokenizer, task):
    ticks = iter([0.0, 5.0, 5.0])
    state = SliceState()
    evaluate_slice(model, tokenizer, task, state, seconds=1.0, clock=lambda: next(ticks))
    assert (state.file, state.pair) == (0, 32)


def test_slices_give_what_one_go_gives(model, tokenizer, task):
    whole = SliceState()
    evaluate_slice(model, tokenizer, task, whole, seconds=1e9)
    state, shares = SliceState(), []
    while not shares or shares[-1] < 1.0:
        # Through JSON, as between two claims of the task; and one batch a slice.
        state = SliceState.model_validate_json(state.model_dump_json())
        times = iter([0.0, 9.0, 9.0])
        shares.append(
            evaluate_slice(model, tokenizer, task, state, seconds=1.0, clock=times.__next__)
        )
    assert len(shares) == 5  # 32 + 32 + 6, 5, 4
    assert shares == sorted(shares)
    assert state.tallies == whole.tallies


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line 1"),
        ('{"sentence_good": "a"}', "sentence_bad"),
        ('{"sentence_good": "a", "sentence_bad": 1}', "must be a text"),
        ("[1]", "line 1"),
        ("", "no pair"),
        ("\udcff", "line 1"),
    ],
)
def test_a_file_that_holds_no_pairs_is_named(tmp_path, line, reason):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(line.encode("utf-8", "surrogateescape"))
    with pytest.raises(EvaluationInvalid, match=r"bad\.jsonl") as raised:
        read_paradigm(path)
    assert reason in raised.value.message


def test_tasks_are_folders_with_pairs(tmp_path, task):
    (task.parent / "empty").mkdir()
    (task.parent / ".hidden").mkdir()
    assert task_names(tmp_path) == ["toy"]
    assert task_names(tmp_path / "none") == []


def test_a_task_that_was_removed_is_named(model, tokenizer, tmp_path):
    with pytest.raises(EvaluationInvalid, match="gone"):
        evaluate_slice(model, tokenizer, tmp_path / "gone", SliceState(), seconds=1.0)


def test_files_edited_between_two_slices_are_counted_from_the_start(model, tokenizer, task):
    state = SliceState()
    assert evaluate_slice(model, tokenizer, task, state, seconds=1e-9) < 1.0
    lines = (task / "a.jsonl").read_text().splitlines(keepends=True)
    (task / "a.jsonl").write_text("".join(lines[35:]))
    state = SliceState.model_validate_json(state.model_dump_json())
    assert evaluate_slice(model, tokenizer, task, state, seconds=1e9) == 1.0
    alone = SliceState()
    evaluate_slice(model, tokenizer, task, alone, seconds=1e9)
    assert state.tallies == alone.tallies
    assert state.tallies["a"].pairs == 35
