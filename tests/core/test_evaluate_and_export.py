"""The stages after training: evaluating the checkpoints, and loading them as a user does."""

import json
import shutil

import pytest

from core.errors import EvaluationInvalid, ExportInvalid, Stopped
from core.evaluation import stage as evaluation_stage
from core.evaluation.slices import Evaluation
from core.events.journal import JournalWriter, read_journal
from core.export import check as export
from core.pipeline import run_pipeline
from core.process.stop import StopSignal
from core.sample import write_sample
from core.spec.job import JobSpec
from core.stages.context import Run
from core.storage.cache import Cache
from core.storage.rundir import RunDir
from core.training import loop

SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
TRAINING = {
    **{"seq_length": 16, "batch_size": 4, "max_steps": 3, "eval_tokens": 64},
    **{"num_threads": 1, "sample_prompts": []},
}
MODELS = {
    "gemma2": SMALL | {"num_key_value_heads": 1, "head_dim": 16},
    "llama4": SMALL | {"num_key_value_heads": 1, "head_dim": 16, "num_local_experts": 4},
    "olmo2": SMALL,
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Data folder with the sample corpus and two tasks, and a cache for all runs."""
    folder = tmp_path_factory.mktemp("shared")
    write_sample(folder / "data", target_bytes=60_000)
    tasks = folder / "data" / "evaluations"
    (tasks / "pairs").mkdir()
    for file in (tasks / "minimal_pairs").glob("*.jsonl"):
        some = file.read_text().splitlines(keepends=True)[:40]
        (tasks / "pairs" / file.name).write_text("".join(some))
    shutil.copytree(tasks / "pairs", tasks / "again")
    return folder


class Runs:
    """A run folder, with methods that run it and read its events."""

    def __init__(self, shared, folder):
        self.shared = shared
        self.dir = RunDir(folder)
        folder.mkdir()

    def run(self, *, architecture="olmo2", tasks=(), checkpoints="last", should_stop=None):
        spec = {
            "data": {"dataset": "sample", "validation": "sample_dev"},
            "tokenizer": {"vocab_size": 400},
            "model": {"architecture": architecture} | MODELS[architecture],
            "training": TRAINING,
            "evaluation": {"tasks": list(tasks), "checkpoints": checkpoints},
        }
        with JournalWriter(self.dir.journal) as journal:
            run_pipeline(
                Run(
                    spec=JobSpec.model_validate(spec).resolve(),
                    rundir=self.dir,
                    data_dir=self.shared / "data",
                    cache=Cache(self.shared / "cache"),
                    journal=journal,
                    stop=StopSignal(),
                )
            )

    def events(self, kind):
        return [event.data for event, _ in read_journal(self.dir.journal) if event.type == kind]

    def judged(self):
        return [(event["checkpoint"], event["task"]) for event in self.events("evaluation")]

    def stage(self, name):
        ended = [
            event
            for event in self.events("stage")
            if event["stage"] == name and event["state"] == "finished"
        ]
        return ended[-1] if ended else None


@pytest.fixture
def runs(shared, tmp_path):
    return Runs(shared, tmp_path / "run")


@pytest.fixture
def milestones(monkeypatch):
    """Two milestones within the three steps of a run."""
    monkeypatch.setattr(loop, "milestones", lambda _track: [("chck_1M", 10), ("chck_2M", 60)])


@pytest.mark.parametrize("architecture", MODELS)
def test_a_finished_checkpoint_loads_and_has_the_validation_loss_of_training(runs, architecture):
    runs.run(architecture=architecture)
    counts = runs.stage("export")["counts"]
    assert counts["vocabulary"] == 400
    assert 1.0 < counts["loss"] < 10.0
    assert counts["loss_difference"] < 1e-5
    files = runs.dir.checkpoint("last")
    assert counts["bytes"] == sum(path.stat().st_size for path in files.iterdir())
    assert runs.events("warning") == []
    assert runs.stage("evaluate") is None  # no evaluation was requested


def test_another_loss_by_plain_transformers_is_reported(runs, monkeypatch):
    monkeypatch.setattr(export, "use_blocks", lambda model: model.model.norm.weight.data.mul_(1.5))
    runs.run()
    [warning] = runs.events("warning")
    assert warning["code"] == "export_differs"


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "README.md"])
def test_a_damaged_file_fails_the_run_and_a_retry_writes_it_again(runs, monkeypatch, file):
    check = export.check_export
    path = runs.dir.checkpoint("last") / file

    def damage(**arguments):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.unlink()  # the weights are a hard link to those of the resume point
        path.write_bytes(content)
        return check(**arguments)

    monkeypatch.setattr(export, "check_export", damage)
    with pytest.raises(ExportInvalid, match=f"last/{file} is missing or differs"):
        runs.run()
    assert runs.events("checkpoint")[-1]["action"] == "removed"
    assert not path.parent.exists()
    monkeypatch.setattr(export, "check_export", check)
    runs.run()
    assert runs.events("checkpoint")[-1]["action"] == "saved"
    assert runs.stage("export")["counts"]["loss_difference"] < 1e-5


def test_a_checkpoint_that_transformers_cannot_load_fails_the_run(runs, monkeypatch):
    check = export.check_export

    def without_weights(**arguments):
        (runs.dir.checkpoint("last") / "config.json").write_text('{"model_type": "missing"}')
        return check(**arguments)

    monkeypatch.setattr(export, "_check_files", lambda *_: None)
    monkeypatch.setattr(export, "check_export", without_weights)
    with pytest.raises(ExportInvalid, match="transformers cannot load the checkpoint last"):
        runs.run()


def test_the_last_checkpoint_is_evaluated_on_each_task(runs, milestones, shared):
    runs.run(tasks=["pairs", "again"])
    assert runs.judged() == [("last", "pairs"), ("last", "again")]
    first, second = runs.events("evaluation")
    pairs = (shared / "data" / "evaluations" / "pairs").glob("*.jsonl")
    assert first["result"]["pairs"] == sum(len(file.read_text().splitlines()) for file in pairs)
    assert first["scores"] == second["scores"]  # the same pairs under another name
    assert first["scores"]["score"] == first["result"]["score"]
    assert first["step"] == 3
    assert runs.stage("evaluate")["counts"] == {
        "pairs": first["scores"]["score"],
        "again": second["scores"]["score"],
    }
    left = sorted(path.name for path in runs.dir.evaluations.rglob("*") if path.is_file())
    assert left == ["predictions.json"] * 2


def test_milestones_are_evaluated_on_request(runs, milestones):
    runs.run(tasks=["pairs"], checkpoints="milestones")
    assert runs.judged() == [("chck_1M", "pairs"), ("chck_2M", "pairs"), ("last", "pairs")]
    steps = [event["step"] for event in runs.events("evaluation")]
    assert steps == sorted(steps)


def test_an_interrupted_evaluation_continues_and_reports_each_score_once(
    runs, milestones, monkeypatch
):
    begun = []

    class Interrupted(Evaluation):
        def advance(self, model, *, seconds):
            begun.append(self.done)
            if len(begun) in (2, 5):
                raise Stopped
            return super().advance(model, seconds=0.0, tokens=500)

    monkeypatch.setattr(evaluation_stage, "Evaluation", Interrupted)
    for _ in range(2):
        with pytest.raises(Stopped):
            runs.run(tasks=["pairs"], checkpoints="milestones")
    runs.run(tasks=["pairs"], checkpoints="milestones")
    assert begun[0] == 0
    assert begun[2] == begun[1] != 0  # continues where it was interrupted
    assert runs.judged() == [("chck_1M", "pairs"), ("chck_2M", "pairs"), ("last", "pairs")]
    for checkpoint, task in runs.judged():
        predictions = json.loads(runs.dir.predictions(checkpoint, task).read_bytes())
        assert {len(each["predictions"]) for each in predictions.values()} == {40}
        left = [path.name for path in runs.dir.evaluation(checkpoint, task).iterdir()]
        assert left == ["predictions.json"]


def test_a_run_of_unknown_tasks_is_refused_before_it_trains(runs):
    with pytest.raises(EvaluationInvalid, match="'missing' does not exist; existing tasks: again"):
        runs.run(tasks=["pairs", "missing"])
    assert runs.events("stage") == []


def test_a_task_whose_files_do_not_parse_is_refused_before_it_trains(runs, shared):
    broken = shared / "data" / "evaluations" / "broken"
    broken.mkdir()
    (broken / "a.jsonl").write_text(json.dumps({"sentence_good": "a"}) + "\n")
    try:
        with pytest.raises(EvaluationInvalid, match=r"a\.jsonl, line 1 is of no known kind"):
            runs.run(tasks=["broken", "pairs"])
    finally:
        shutil.rmtree(broken)
    assert runs.events("stage") == []


def test_a_task_with_a_bad_line_is_a_warning_and_the_others_are_evaluated(runs, shared):
    broken = shared / "data" / "evaluations" / "broken"
    broken.mkdir()
    pair = json.dumps({"sentence_good": "a", "sentence_bad": "b"})
    (broken / "a.jsonl").write_text(pair + "\n{}\n")
    try:
        runs.run(tasks=["broken", "pairs"])
    finally:
        shutil.rmtree(broken)
    [warning] = runs.events("warning")
    assert warning["code"] == "not_evaluated"
    assert "a.jsonl, line 2" in warning["message"]
    assert runs.judged() == [("last", "pairs")]


def test_a_task_edited_between_two_evaluations_is_reported(runs, shared, milestones, monkeypatch):
    advance, begun = Evaluation.advance, []

    def once(evaluation, model, **options):
        begun.append(evaluation)
        if len(begun) == 2:
            raise Stopped
        return advance(evaluation, model, **options | {"seconds": 1e9})

    monkeypatch.setattr(Evaluation, "advance", once)
    edited = shared / "data" / "evaluations" / "edited"
    shutil.copytree(shared / "data" / "evaluations" / "pairs", edited)
    try:
        with pytest.raises(Stopped):
            runs.run(tasks=["edited"], checkpoints="milestones")
        file = next(edited.iterdir())
        file.write_text("".join(file.read_text().splitlines(keepends=True)[:10]))
        runs.run(tasks=["edited"], checkpoints="milestones")
    finally:
        shutil.rmtree(edited)
    [warning] = runs.events("warning")
    assert warning["code"] == "evaluation_changed"
    assert len(runs.judged()) == 3
