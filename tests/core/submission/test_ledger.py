import json

import pytest

from core.export.submission.ledger import budget_ledger
from core.spec.job import JobSpec
from core.storage.inputs import InputRecord
from core.storage.rundir import RunDir

COUNTS = {
    "train": {
        **{"words_in": 120, "words": 100},
        "sources": {
            "childes": {"words_in": 70, "words": 60},
            "my_notes": {"words": 40},
        },
    }
}
FILES = {"childes.train": "a", "my_notes.txt": "b"}


def ledger(root, *, track="strict-small", counts=COUNTS, words_seen=900, files=None, **tokenizer):
    spec = {"track": track, "data": {"dataset": "text"}, "tokenizer": tokenizer}
    rundir = RunDir(root / "run")
    rundir.root.mkdir()
    if files is not None:
        write_record(rundir, files)
    return budget_ledger(
        JobSpec.model_validate(spec).resolve(), rundir=rundir, counts=counts, words_seen=words_seen
    )


def write_record(rundir, files, spec=None) -> None:
    rundir.root.mkdir(exist_ok=True)
    rundir.spec.write_text(JobSpec.model_validate(spec or {}).resolve().model_dump_json())
    rundir.inputs.write_text(InputRecord(asked="", files=files).model_dump_json())


def verdicts(found) -> dict:
    return {rule.name: rule.holds for rule in found.rules}


def test_words_are_counted_by_source_with_origin_and_licence(tmp_path):
    found = ledger(tmp_path, files={"train": FILES, "validation": {"childes.dev": "c"}})
    assert (found.words_before, found.words, found.word_budget) == (120, 100, 10_000_000)
    childes, notes = found.sources
    assert (childes.words_before, childes.words, childes.licence) == (
        70,
        60,
        "TalkBank: CC BY-NC-SA 3.0",
    )
    assert (notes.words_before, notes.origin) == (None, "not known to the service")
    assert set(verdicts(found).values()) == {True}
    json.dumps(found.model_dump())


def test_a_recorded_repository_of_the_hub_is_the_origin(tmp_path):
    rundir = RunDir(tmp_path / "run")
    rundir.root.mkdir()
    origin = {"repository": "a/b", "commit": "c" * 40, "files": ["my_notes.jsonl"]}
    record = InputRecord(asked="", files={"train": FILES}, origins={"train": [origin]})
    rundir.inputs.write_text(record.model_dump_json())
    spec = JobSpec.model_validate({"data": {"dataset": "sample"}}).resolve()
    found = budget_ledger(spec, rundir=rundir, counts=COUNTS, words_seen=1)
    childes, notes = found.sources
    assert childes.licence == "Apache-2.0"
    assert notes.origin == f"Hugging Face Hub: a/b at commit {'c' * 40}"
    assert notes.licence == "not named by the repository"


@pytest.mark.parametrize(
    ("changed", "rule", "holds"),
    [
        ({"counts": {"train": {"words": 10_000_001, "sources": {}}}}, "word_budget", False),
        ({"counts": None}, "word_budget", None),
        ({"words_seen": 100_000_001}, "words_seen", False),
        ({"files": {"train": FILES, "validation": {"x": "b"}}}, "held_out_text", False),
        ({"files": {"train": FILES | {"childes.test": "d"}}}, "held_out_text", False),
        ({}, "held_out_text", None),
        ({"path": "mine", "files": {"train": FILES}}, "tokenizer_corpus", None),
        ({"from_job": "given", "files": {"train": FILES}}, "tokenizer_corpus", None),
        ({"from_job": "warm", "files": {"train": FILES}}, "tokenizer_corpus", None),
        ({"from_job": "third", "files": {"train": FILES}}, "tokenizer_corpus", True),
        ({"from_job": "third", "files": {"train": {"q": "b"}}}, "tokenizer_corpus", False),
        ({"from_job": "gone", "files": {"train": FILES}}, "tokenizer_corpus", None),
        ({"from_job": "other", "files": {"train": FILES}}, "tokenizer_corpus", True),
        ({"from_job": "other", "files": {"train": {"q": "b"}}}, "tokenizer_corpus", False),
    ],
)
def test_a_rule_holds_is_broken_or_cannot_be_decided(tmp_path, changed, rule, holds):
    other = {"train": {"childes.train": "a"}}
    write_record(RunDir(tmp_path / "other"), other)
    write_record(RunDir(tmp_path / "given"), other, {"tokenizer": {"path": "mine"}})
    write_record(RunDir(tmp_path / "warm"), other, {"init_from": {"path": "mine"}})
    # `third` takes the tokenizer of `other`, so the text of `other` counts and not its own.
    third = {"tokenizer": {"from_job": "other"}}
    write_record(RunDir(tmp_path / "third"), {"train": {"x": "z"}}, third)
    assert verdicts(ledger(tmp_path, **changed))[rule] is holds


def test_a_free_job_has_words_but_no_budget(tmp_path):
    found = ledger(tmp_path, track="free")
    assert found.word_budget is None
    assert set(verdicts(found)) == {"tokenizer_corpus", "held_out_text"}
