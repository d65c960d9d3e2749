"""Each kind of task is recognised by its content and scored by its rules.

Files that are not valid are refused with a reason.
"""

import json
import math
import shutil

import pytest
import torch

from core.errors import EvaluationInvalid
from core.evaluation.prepared import PreparedTasks, read_contents
from core.evaluation.registry import kind_names, recognise, task_files
from core.evaluation.slices import Evaluation, prepare
from core.evaluation.tasks import require_tasks
from tests.official_files import write_official_files

KINDS = {
    "blimp_filtered": "minimal_pairs",
    "supplement_filtered": "minimal_pairs",
    "ewok_filtered": "ewok",
    "entity_tracking": "entity_tracking",
    "wug_adj_nominalization": "wug",
    "wug_past_tense": "wug",
    "comps": "comps",
    "reading": "reading",
    "cdi_childes": "aoa",
}
SUBSETS = {
    "ewok_filtered": ["agent-properties", "social-relations"],
    "entity_tracking": [
        f"{split}_{number}_ops"
        for split in ("ambiref", "move_contents", "regular")
        for number in range(3)
    ],
    "wug_adj_nominalization": ["wug_adj"],
    "wug_past_tense": ["wug_past"],
    "comps": ["base", "wugs", "wugs_dist_before", "wugs_dist_in_between"],
    "reading": ["reading"],
}


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    folder = tmp_path_factory.mktemp("official")
    write_official_files(folder)
    return folder


def evaluate(model, tokenizer, task, folder):
    evaluation = Evaluation(
        prepare(PreparedTasks(), model, tokenizer, task), folder / "partial.npz"
    )
    while evaluation.share < 1.0:
        evaluation.advance(model, seconds=1e9)
    return evaluation.finish()


@torch.no_grad()
def log_probability(model, tokenizer, text, length):
    """The log-probability of the tokens that overlap the last `length` characters of the text."""
    found = tokenizer(text, return_offsets_mapping=True)
    ids = found["input_ids"]
    logits = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(
        logits[index - 1, ids[index]].item()
        for index in range(1, len(ids))
        if found["offset_mapping"][index][1] > len(text) - length
    )


def test_every_kind_has_a_generated_file_and_is_recognised(official):
    assert {path.name: recognise(path).name for path in official.iterdir()} == KINDS
    assert sorted(set(KINDS.values())) == sorted(kind_names())


@pytest.mark.parametrize("task", [task for task in KINDS if KINDS[task] != "aoa"])
def test_a_task_is_scored_by_subset_with_predictions_for_every_item(
    model, tokenizer, official, tmp_path, task
):
    summary = evaluate(model, tokenizer, official / task, tmp_path)
    result = summary.result
    subsets = list(summary.predictions)
    if task in SUBSETS:
        assert sorted(subsets) == SUBSETS[task]
    entries = [entry for each in summary.predictions.values() for entry in each["predictions"]]
    assert len(entries) == result.pairs > 0
    assert -1.0 <= result.score <= 1.0
    json.dumps(summary.predictions, allow_nan=False)
    if result.metric == "accuracy":
        assert result.strict_score <= result.score
        assert sorted(each.name for each in result.paradigms) == sorted(subsets)
        assert sum(each.pairs for each in result.paradigms) == result.pairs


@pytest.mark.parametrize("task", ["ewok_filtered", "entity_tracking", "comps", "blimp_filtered"])
def test_the_likeliest_completion_is_predicted(model, tokenizer, official, tmp_path, task):
    contents = read_contents(official / task)
    summary = evaluate(model, tokenizer, official / task, tmp_path)
    seen: dict[str, int] = {}
    for item in contents._items[::3]:
        scores = [
            log_probability(model, tokenizer, each.text, each.completion_length)
            for each in item.candidates
        ]
        best = max(range(len(scores)), key=scores.__getitem__)
        if sorted(scores)[-1] - sorted(scores)[-2] < 1e-3:
            continue  # rounding decides which of the two is the best
        number = [each for each in contents._items if each.subset == item.subset].index(item)
        entry = summary.predictions[item.subset]["predictions"][number]
        assert entry["id"] == f"{item.subset}_{number}"
        assert entry["pred"] == item.candidates[best].prediction
        seen[item.subset] = seen.get(item.subset, 0) + 1
    assert len(seen) > 1


def test_wug_correlates_the_share_of_the_first_sentence(model, tokenizer, official, tmp_path):
    summary = evaluate(model, tokenizer, official / "wug_past_tense", tmp_path)
    entries = summary.predictions["wug_past"]["predictions"]
    lines = (official / "wug_past_tense" / "wug_past_tense.jsonl").read_text().splitlines()
    shares = []
    for line, entry in zip(map(json.loads, lines), entries, strict=True):
        first, second = (
            log_probability(model, tokenizer, text, len(text))
            for text in line["sentences"].split("\t")
        )
        shares.append(1.0 / (1.0 + math.exp(second - first)))
        assert entry["prob"] == pytest.approx(shares[-1], abs=1e-4)
        assert entry["pred"] in line["sentences"].split("\t")
    assert summary.result.metric == "spearman"
    assert -1.0 <= summary.result.score <= 1.0


def test_entity_tracking_is_the_mean_over_its_splits(model, tokenizer, official, tmp_path):
    copied = tmp_path / "entity_tracking"
    shutil.copytree(official / "entity_tracking", copied)
    lines = (copied / "regular.jsonl").read_text().splitlines()
    entries = [{**json.loads(line), "numops": 0} for line in lines]  # one subset instead of three
    (copied / "regular.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    result = evaluate(model, tokenizer, copied, tmp_path).result
    by_split: dict[str, list[float]] = {}
    for each in result.paradigms:
        by_split.setdefault(each.name.rsplit("_", 2)[0], []).append(each.score)
    means = [sum(scores) / len(scores) for scores in by_split.values()]
    assert result.score == pytest.approx(sum(means) / 3)
    assert result.score != pytest.approx(sum(each.score for each in result.paradigms) / 7)


def test_surprisal_of_a_word_follows_the_official_splitting(model, tokenizer, official, tmp_path):
    summary = evaluate(model, tokenizer, official / "reading", tmp_path)
    rows = read_contents(official / "reading")._rows
    entries = summary.predictions["reading"]["predictions"]
    assert [entry["id"] for entry in entries] == list(range(len(rows)))
    assert any(entry["prev_pred"] is None for entry in entries)
    for row, entry in list(zip(rows, entries, strict=True))[::7]:
        text, total = row.context, 0.0
        for piece in tokenizer(row.word, add_special_tokens=False)["input_ids"]:
            ids = tokenizer(text)["input_ids"]
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([ids])).logits[0, -1].double()
            total -= logits.log_softmax(-1)[piece].item()
            text += tokenizer.decode(piece)
        assert entry["pred"] == pytest.approx(total, abs=1e-3)


LINE = {
    "sentence_good": {"sentence_good": 1, "sentence_bad": "b"},
    "Context1": {"Context1": "a", "Target1": "b", "Target2": 2, "Domain": "d"},
    "options": {"input_prefix": "a", "options": ["b"], "numops": 1},
    "numops": {"input_prefix": "a", "options": ["b", "c"], "numops": "1"},
    "ratio": {"sentences": "a\tb", "ratio": "0.5"},
    "sentences": {"sentences": "a b", "ratio": 0.5},
    "property_phrase": {
        "prefix_acceptable": "a",
        "prefix_unacceptable": "b",
        "property_phrase": None,
    },
}


@pytest.mark.parametrize("field", LINE)
def test_an_invalid_first_line_is_refused_with_the_expected_format(tmp_path, field):
    task = tmp_path / "evaluations" / "odd"
    task.mkdir(parents=True)
    (task / "a.jsonl").write_text("\n" + json.dumps(LINE[field]) + "\n")
    with pytest.raises(EvaluationInvalid) as raised:
        require_tasks(tmp_path, ["odd"])
    assert "task 'odd' cannot be read: a.jsonl, line 2 is not an item of" in raised.value.message
    assert "expected a JSON object with" in raised.value.message


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.jsonl", '{"question": "q", "answer": "a"}\n', "line 1 is of no known kind"),
        ("a.jsonl", "\n\n", "a.jsonl contains no item"),
        ("a.jsonl", "question,answer\n", "line 1 is not JSON"),
        ("a.csv", "question,answer\n1,2\n", "line 1 has no item, word"),
        ("a.csv", "", "line 1 has no item, word"),
    ],
)
def test_the_error_for_a_file_of_unknown_kind_lists_the_kinds(tmp_path, name, text, reason):
    (tmp_path / name).write_text(text)
    with pytest.raises(EvaluationInvalid) as raised:
        recognise(tmp_path)
    assert reason in raised.value.message


def test_a_table_of_reading_times_names_the_line_of_a_bad_number(official, tmp_path):
    text = (official / "reading" / "reading_data.csv").read_text().splitlines()
    cells = text[2].split(",")
    cells[13] = "fast"
    (tmp_path / "r.csv").write_text("\n".join([*text[:2], ",".join(cells), *text[3:]]) + "\n")
    assert recognise(tmp_path).name == "reading"
    with pytest.raises(EvaluationInvalid, match=r"r\.csv, line 3: .*fast"):
        read_contents(tmp_path)


def test_files_of_two_kinds_in_one_folder_are_refused(official, tmp_path):
    shutil.copytree(official / "comps", tmp_path / "mixed")
    [line, *_] = (official / "ewok_filtered" / "agent-properties.jsonl").read_text().splitlines()
    (tmp_path / "mixed" / "zzz.jsonl").write_text(line + "\n")
    with pytest.raises(EvaluationInvalid, match="of different tasks into different folders"):
        recognise(tmp_path / "mixed")


def test_other_files_in_a_folder_do_not_matter(official, tmp_path):
    shutil.copytree(official / "comps", tmp_path / "comps")
    (tmp_path / "comps" / "README.md").write_text("# COMPS\n")
    assert recognise(tmp_path / "comps").name == "comps"
    assert len(task_files(tmp_path / "comps")) == 4


def test_a_constant_human_ratio_has_no_correlation(model, tokenizer, tmp_path):
    lines = [json.dumps({"sentences": f"a {w}\tb {w}", "ratio": 0.5}) for w in ("dog", "cat")]
    (tmp_path / "wug_adj.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(EvaluationInvalid, match="two different values"):
        evaluate(model, tokenizer, tmp_path, tmp_path)
