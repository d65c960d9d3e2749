"""The files of classification tasks, the official settings and the official metrics."""

import json

import pytest
from pydantic import ValidationError

from core.errors import EvaluationInvalid
from core.evaluation.classification import classification_tasks, read_task
from core.evaluation.finetune.metrics import measures
from core.evaluation.finetune.plan import TaskPlan
from core.evaluation.registry import recognise
from core.spec.finetune import FinetuneSpec
from core.spec.job import JobSpec

LINES = {
    "boolq": ({"question": "is it", "passage": "It is."}, ("is it", "It is.")),
    "cola": ({"sentence": "It is."}, ("It is.",)),
    "mnli": ({"premise": "a", "hypothesis": "b"}, ("a", "b")),
    "mrpc": ({"sentence1": "a", "sentence2": "b"}, ("a", "b")),
    "multirc": (
        {"paragraph": "p", "question": "q", "answer": "a"},
        ("Question: q Answer: a", "p"),
    ),
    "qnli": ({"question": "q", "sentence": "s"}, ("q", "s")),
    "qqp": ({"question1": "a", "question2": "b"}, ("a", "b")),
    "wsc": (
        {"text": "t", "span1_text": "Ann", "span2_text": "she"},
        ('Does "she" refer to "Ann" in this passage?', "t"),
    ),
}
"""A line of each task, and the texts that `evaluation_pipeline/finetune/dataset.py` makes of it."""


def write(folder, task, *entries, part=None):
    folder.mkdir(exist_ok=True)
    lines = "".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in entries)
    for name in (part,) if part else ("train", "valid"):
        (folder / f"{task}.{name}.jsonl").write_text(lines)


@pytest.mark.parametrize("task", LINES)
def test_the_texts_are_those_of_the_official_pipeline(tmp_path, task):
    entry, texts = LINES[task]
    write(tmp_path / "glue", task, entry | {"label": 1, "idx": 0}, entry | {"label": True})
    found = read_task(tmp_path / "glue", task)
    assert found.train == found.valid
    assert found.train.texts == [texts, texts]
    assert (found.train.labels, found.num_labels) == ([1, 1], 2)


def test_a_folder_of_them_is_no_zero_shot_task(tmp_path):
    write(tmp_path / "glue", "rte", LINES["mrpc"][0] | {"label": 0})
    write(tmp_path / "glue", "alone", LINES["mrpc"][0] | {"label": 0}, part="train")
    assert classification_tasks(tmp_path / "glue") == ["rte"]
    with pytest.raises(EvaluationInvalid, match=r"\(rte\), which need fine-tuning"):
        recognise(tmp_path / "glue")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line 2 is not JSON"),
        ("[]", "line 2 is not a JSON object"),
        ({"question": "a", "passage": "b"}, "line 2 has no label"),
        ({"question": "a", "passage": 3, "label": 0}, "passage must be a string"),
        ({"question": "a", "passage": "b", "label": "x"}, "label is 'x' and must be an integer"),
        ({"question": "a", "passage": "b", "label": -1}, "label is -1 and must be from 0 to 999"),
        ({"question": "", "passage": "", "label": 1}, "its text is empty"),
        ({"passage": "b", "label": 1}, "has no question"),
    ],
)
def test_a_line_that_does_not_parse_is_named(tmp_path, line, reason):
    good = LINES["boolq"][0] | {"label": 0}
    write(tmp_path / "glue", "boolq", good, line)
    with pytest.raises(EvaluationInvalid, match=reason) as caught:
        read_task(tmp_path / "glue", "boolq")
    assert "boolq.train.jsonl, line 2" in caught.value.message
    assert "; expected " in caught.value.message


def test_files_of_no_format_of_two_formats_and_without_lines_are_refused(tmp_path):
    folder = tmp_path / "glue"
    write(folder, "odd", {"a": 1, "label": 0})
    with pytest.raises(EvaluationInvalid, match=r"its fields: a, label"):
        read_task(folder, "odd")
    write(folder, "two", LINES["qqp"][0] | {"label": 0})
    write(folder, "two", LINES["mrpc"][0] | {"label": 0}, part="valid")
    with pytest.raises(EvaluationInvalid, match="must have the same fields"):
        read_task(folder, "two")
    write(folder, "none")
    with pytest.raises(EvaluationInvalid, match="contains no example"):
        read_task(folder, "none")


def test_settings_are_those_of_the_official_script():
    spec = FinetuneSpec(job="a")
    found = {task: spec.settings_of(task) for task in ("boolq", "multirc", "wsc", "mrpc", "mnli")}
    assert [(each.epochs, each.batch_size, each.metric) for each in found.values()] == [
        (10, 16, "accuracy"),
        (10, 16, "accuracy"),
        (30, 32, "accuracy"),
        (10, 32, "f1"),
        (10, 32, "accuracy"),
    ]
    assert (spec.learning_rate, spec.sequence_length, spec.seed) == (3e-5, 512, 42)
    given = FinetuneSpec(job="a", epochs=2, batch_size=8, metric="mcc").settings_of("wsc")
    assert (given.epochs, given.batch_size, given.metric) == (2, 8, "mcc")


def test_the_learning_rate_is_that_of_the_official_schedule():
    spec = FinetuneSpec(job="a", learning_rate=1.0)
    plan = TaskPlan.of(spec, "mnli", 325)
    assert (plan.steps_per_epoch, plan.max_steps, plan.warmup_steps) == (10, 100, 6)
    rates = [plan.learning_rate(step, spec) for step in range(1, 101)]
    assert rates[:7] == pytest.approx([0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0])
    assert rates[53] == pytest.approx(0.55, abs=1e-9)  # half of the way from step 7 to 101
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)
    assert rates[6:] == sorted(rates[6:], reverse=True)


def test_metrics_are_those_of_scikit_learn():
    labels, predictions = [0, 1, 1, 0, 1, 1], [0, 1, 0, 1, 1, 1]
    assert measures(labels, predictions) == pytest.approx(
        {"accuracy": 4 / 6, "f1": 0.75, "mcc": 0.25, "majority": 4 / 6}
    )
    three = measures([0, 1, 2, 2, 1, 0, 2], [0, 2, 2, 2, 1, 0, 1])
    assert three == pytest.approx(
        {"accuracy": 0.7142857142857143, "mcc": 0.5625, "majority": 3 / 7}
    )
    assert measures([1, 1, 0], [1, 1, 1])["mcc"] == 0.0
    assert measures([0, 0, 0], [0, 0, 0])["f1"] == 0.0


@pytest.mark.parametrize(
    ("finetune", "reason"),
    [
        (None, "task is finetune, but finetune is null"),
        ({"job": "../a"}, "must be ASCII letters, digits"),
        ({"job": "a", "tasks": []}, "must name at least one task"),
        ({"job": "a", "tasks": ["rte", "rte"]}, "rte is named twice"),
        ({"job": "a", "tasks": ["a/b"]}, "'a/b' must be 1 to 40 ASCII letters"),
    ],
)
def test_specs_that_name_no_checkpoint_or_task_are_refused(finetune, reason):
    with pytest.raises(ValidationError, match=reason):
        JobSpec.model_validate({"task": "finetune", "finetune": finetune})


def test_the_section_needs_the_task():
    with pytest.raises(ValidationError, match="task is model: give finetune only with the task"):
        JobSpec.model_validate({"finetune": {"job": "a"}})
