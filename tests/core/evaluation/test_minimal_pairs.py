import json
import math

import pytest
import torch

from core.errors import EvaluationInvalid
from core.evaluation.prepared import PreparedTasks
from core.evaluation.registry import read_items, recognise
from core.evaluation.scoring import sentence_scores
from core.evaluation.slices import Evaluation, prepare
from core.evaluation.tasks import require_tasks, task_names
from tests.core.evaluation.conftest import sentence


@pytest.fixture
def task(tmp_path):
    """A task of three paradigms: 70 pairs, 5 pairs, and 4 pairs of equal sentences."""
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
    """The log-probability of a sentence, computed token by token."""
    ids = tokenizer(text)["input_ids"]
    total = 0.0
    for index in range(1, len(ids)):
        logits = model(input_ids=torch.tensor([ids[:index]])).logits[0, -1]
        total += torch.log_softmax(logits, -1)[ids[index]].item()
    return total


def begin(model, tokenizer, task, folder) -> Evaluation:
    return Evaluation(prepare(PreparedTasks(), model, tokenizer, task), folder / "partial.npz")


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
        """Adds token 0 before and after the text, as some tokenizers do by default."""

        def __call__(self, texts, *, return_special_tokens_mask):
            ids = [[0, *tokenizer(text)["input_ids"], 0] for text in texts]
            masks = [[1] + [0] * (len(row) - 2) + [1] for row in ids]
            return {"input_ids": ids, "special_tokens_mask": masks}

    [given] = sentence_scores(model, WithEnd(), ["the dog"])
    [after] = sentence_scores(model, tokenizer, ["the dog"], start=[0])
    assert given == pytest.approx(after, abs=1e-4)


def test_a_single_token_has_nothing_to_score(model, tokenizer):
    assert sentence_scores(model, tokenizer, ["a", ""]) == [0.0, 0.0]


def test_shares_are_counted_by_paradigm_and_ties_both_ways(model, tokenizer, task, tmp_path):
    evaluation = begin(model, tokenizer, task, tmp_path)
    assert evaluation.advance(model, seconds=1e9) == 1.0
    result = evaluation.finish().result
    assert [(each.name, each.pairs) for each in result.paradigms] == [("a", 70), ("b", 5), ("c", 4)]
    same = result.paradigms[2]
    assert (same.score, same.strict_score, same.phenomenon) == (1.0, 0.0, "of c")
    kind = recognise(task)
    right = sum(
        reference(model, tokenizer, good.text) > reference(model, tokenizer, bad.text)
        for good, bad in (item.candidates for item in read_items(kind, task / "a.jsonl"))
    )
    assert result.paradigms[0].strict_score == pytest.approx(right / 70)
    assert 0 < right < 70
    assert result.score == pytest.approx(math.fsum(each.score for each in result.paradigms) / 3)
    assert result.pairs == 79
    assert (result.kind, result.metric, result.chance) == ("minimal_pairs", "accuracy", 0.5)
    assert [(each.name, each.pairs) for each in result.groups] == [
        ("of a", 70),
        ("of b", 5),
        ("of c", 4),
    ]


def test_slices_give_the_result_of_one_pass_and_continue_from_their_file(
    model, tokenizer, task, tmp_path
):
    whole = begin(model, tokenizer, task, tmp_path / "whole")
    whole.advance(model, seconds=1e9)
    shares = []
    while not shares or shares[-1] < 1.0:
        # The worker creates a new object for each claim of the task. A slice is one batch here.
        evaluation = begin(model, tokenizer, task, tmp_path / "sliced")
        assert evaluation.share == (shares[-1] if shares else 0.0)
        shares.append(evaluation.advance(model, seconds=0.0, tokens=10))
        assert len(shares) < 100
    assert shares == sorted(shares)
    assert len(shares) > 4
    ours, theirs = evaluation.finish(), whole.finish()
    assert ours.predictions == theirs.predictions
    assert ours.result.paradigms == theirs.result.paradigms
    evaluation.forget()
    assert begin(model, tokenizer, task, tmp_path / "sliced").share == 0.0


def test_a_file_that_changed_meanwhile_starts_the_evaluation_again(
    model, tokenizer, task, tmp_path
):
    evaluation = begin(model, tokenizer, task, tmp_path)
    evaluation.advance(model, seconds=1e9)
    (task / "b.jsonl").write_text('{"sentence_good": "a dog runs", "sentence_bad": "a dog run"}\n')
    assert begin(model, tokenizer, task, tmp_path).share == 0.0


@pytest.mark.parametrize("damage", [b"", b"PK", b"garbage" * 100])
def test_a_damaged_file_of_sums_starts_the_evaluation_again(
    model, tokenizer, task, tmp_path, damage
):
    (tmp_path / "partial.npz").write_bytes(damage)
    assert begin(model, tokenizer, task, tmp_path).share == 0.0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line 2 is not JSON"),
        ('{"sentence_good": "a"}', "line 2 has no sentence_bad"),
        ('{"sentence_good": "a", "sentence_bad": 1}', "sentence_bad must be a string"),
        ("[1]", "line 2 is not a JSON object"),
        ("\udcff", "line 2 is not JSON"),
        ("[" * 20_000, "line 2 is not JSON"),
    ],
)
def test_a_line_that_is_no_pair_is_named(tmp_path, line, reason):
    path = tmp_path / "bad.jsonl"
    good = '{"sentence_good": "a", "sentence_bad": "b"}\n'
    path.write_bytes((good + line).encode("utf-8", "surrogateescape"))
    kind = recognise(tmp_path)
    with pytest.raises(EvaluationInvalid, match=r"bad\.jsonl") as raised:
        read_items(kind, path)
    assert reason in raised.value.message


def test_tasks_are_folders_with_files_of_tasks(tmp_path, task):
    (task.parent / "empty").mkdir()
    (task.parent / ".hidden").mkdir()
    assert task_names(tmp_path) == ["toy"]
    assert task_names(tmp_path / "none") == []
    require_tasks(tmp_path, ["toy"])


def test_a_task_that_was_removed_is_named(model, tokenizer, tmp_path):
    with pytest.raises(EvaluationInvalid, match="gone"):
        begin(model, tokenizer, tmp_path / "gone", tmp_path)
