"""After a kill and a resume, each tracker has each step once, as the tracker's own tools show."""

import json
import os
import struct
import subprocess
from pathlib import Path

import psutil
import pytest
from sqlalchemy import make_url

from core.events.journal import read_journal
from core.export.tracking.__main__ import LAST_DELAY_SECONDS, POLL_SECONDS, Pause
from core.export.tracking.adapters import ADAPTERS, missing_package
from core.export.tracking.replay import cursor_file, is_complete, replay
from core.process.program import python_command
from core.storage.rundir import RunDir
from jobs.settings import Settings
from tests.waiting import wait_for
from tests.worker.conftest import SPEC

FIRST = """
import random
def all_of(step):
    loss(step)
    tell("metrics", step=step, epoch=0.1, tokens_seen=step, words_seen=step,
         values={"validation/loss": random.Random(step).random(), "train/grad_norm": None})
    tell("sample", step=step, prompt="Once", text=f"text {step}")
[all_of(step) for step in range(1, 13)]; saved(10)
"""
KILLED = FIRST + "os.kill(os.getpid(), signal.SIGKILL)"
RESUMED = (
    FIRST.replace("range(1, 13)", "range(11, 21)").replace("saved(10)", "")
    + """
score = {"score": 0.625, "strict_score": 0.5}
tell("evaluation", step=10, checkpoint="chck_1M", task="blimp", scores=score)
tell("evaluation", step=20, checkpoint="last", task="blimp", scores=score)
tell("checkpoint", action="saved", name="last", kind="last", step=20, tokens_seen=0, words_seen=0,
     files=[{"path": "config.json", "size": 2, "sha256": "0" * 64}])
"""
)


@pytest.fixture
def rundir(stage, request):
    """The folder of a job that was killed at step 12, resumed from step 10, and has succeeded."""
    play = stage(tracking=getattr(request, "param", ""))
    play.play(KILLED)
    assert play.job.status == "queued"
    play.play(RESUMED)
    assert play.job.status == "succeeded"
    return RunDir(play.folder)


def journal_points(rundir: RunDir) -> dict[str, dict[int, float]]:
    """The first value of each step, by metric."""
    points: dict[str, dict[int, float]] = {}
    for event, _ in read_journal(rundir.journal):
        if event.type == "metrics":
            for name, value in event.data["values"].items():
                if value is not None:
                    points.setdefault(name, {}).setdefault(event.data["step"], value)
        if event.type == "evaluation":
            score = event.data["scores"]["score"]
            points.setdefault("evaluation/blimp", {})[event.data["step"]] = score
    assert list(points["train/loss"]) == list(range(1, 21))
    return points


def same(found: list[tuple[int, float]], expected: dict[int, float]) -> bool:
    assert sorted(step for step, _ in found) == sorted(expected)  # each step once
    return dict(found) == expected


def float32(value: float) -> float:
    return struct.unpack("f", struct.pack("f", value))[0]


def read_tensorboard(folder: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    return accumulator.Reload()


@pytest.mark.parametrize("rundir", ["tensorboard"], indirect=True)
def test_a_worker_writes_the_event_file_while_the_job_runs_and_to_its_end(rundir):
    wait_for(lambda: is_complete(rundir, "tensorboard"), what=lambda: log_of(rundir, "tensorboard"))
    read = read_tensorboard(rundir.tensorboard)
    for name, expected in journal_points(rundir).items():
        found = [(each.step, each.value) for each in read.Scalars(name)]
        assert same(found, {step: float32(value) for step, value in expected.items()}), name
    samples = read.Tensors("sample/Once")
    assert [each.step for each in samples] == list(range(1, 21))
    assert b"text 20" in samples[-1].tensor_proto.string_val[0]
    assert b'"vocab_size"' in read.Tensors("config")[0].tensor_proto.string_val[0]
    assert "last" in str(read.Tensors("checkpoint")[-1].tensor_proto.string_val[0])


def log_of(rundir: RunDir, name: str) -> str:
    return (rundir.trackers / f"{name}.log").read_text()


def test_a_replay_that_dies_before_its_cursor_is_saved_leaves_the_same_bytes(rundir):
    replay(rundir, "tensorboard", ADAPTERS["tensorboard"])
    (file,) = rundir.tensorboard.iterdir()
    whole, journal = file.read_bytes(), rundir.journal.read_bytes()
    half = journal.index(b"\n", len(journal) // 2) + 1
    for path in (cursor_file(rundir, "tensorboard"), file):
        path.unlink()
    rundir.journal.write_bytes(journal[:half])
    assert replay(rundir, "tensorboard", ADAPTERS["tensorboard"]) == journal[:half].count(b"\n")
    cursor = cursor_file(rundir, "tensorboard").read_bytes()
    rundir.journal.write_bytes(journal)
    replay(rundir, "tensorboard", ADAPTERS["tensorboard"])
    cursor_file(rundir, "tensorboard").write_bytes(cursor)  # as if the new cursor was not saved
    file.write_bytes(file.read_bytes() + b"half a record")
    replay(rundir, "tensorboard", ADAPTERS["tensorboard"])
    assert file.read_bytes() == whole
    assert replay(rundir, "tensorboard", ADAPTERS["tensorboard"]) == 0


def test_a_tracker_that_does_not_answer_or_is_not_installed_leaves_the_job_alone(stage):
    play = stage(tracking="wandb, mlflow", mlflow_uri="http://127.0.0.1:1")  # refuses connections
    try:
        play.play(RESUMED)
        assert play.job.status == "succeeded"
        missing = [name for name in ("wandb", "mlflow") if missing_package(name)]
        warned = [event.data["message"] for event in play.events("warning")]
        assert [name for name in missing if any(f"[{name}]" in text for text in warned)] == missing
        assert len(warned) == len(missing)
        assert not is_complete(RunDir(play.folder), "mlflow")
    finally:  # the replays would try for ten minutes
        for process in psutil.Process().children(recursive=True):
            if str(play.folder) in process.cmdline():
                process.kill()


def test_a_failed_replay_is_repeated_after_a_delay_also_after_the_end_of_the_run():
    pause = Pause()
    assert pause.after(failed=False, is_over=False) == POLL_SECONDS
    assert pause.after(failed=False, is_over=True) == 0.0
    delays = [pause.after(failed=True, is_over=True) for _ in range(7)]
    assert delays == [2.0, 4.0, 8.0, 16.0, 32.0, LAST_DELAY_SECONDS, LAST_DELAY_SECONDS]
    assert pause.after(failed=False, is_over=True) == 0.0
    assert pause.after(failed=True, is_over=False) == delays[0]


def test_the_default_file_of_mlflow_is_in_a_runs_folder_of_any_name(tmp_path):
    settings = Settings(_env_file=None, runs_dir=tmp_path / "a%20b?c")
    expected = settings.runs_dir.resolve() / "mlflow.sqlite3"
    assert make_url(settings.default_mlflow_uri).database == str(expected)


def run_replay(rundir: RunDir, name: str, **environment: str) -> None:
    command = python_command("core.export.tracking", str(rundir.root), "--to", name)
    subprocess.run(command, check=True, env=os.environ | environment)


def test_an_offline_run_of_wandb_has_each_step_once(rundir):
    pytest.importorskip("wandb", reason="the package wandb is not installed")
    run_replay(rundir, "wandb")
    (file,) = rundir.root.glob("wandb/offline-run-*/run-*.wandb")
    run, rows = read_wandb(file)
    assert (run["id"], run["config"]["tokenizer"]["vocab_size"]) == (
        rundir.root.name,
        SPEC.tokenizer.vocab_size,
    )
    for name, expected in journal_points(rundir).items():
        assert same([(row["step"], row[name]) for row in rows if name in row], expected), name
    assert any(key.startswith("samples/") for row in rows for key in row)


def read_wandb(file: Path) -> tuple[dict, list[dict]]:
    """The run and the history in a .wandb file: W&B's messages in the log format of LevelDB."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, parts = file.read_bytes(), 7, b""
    run, rows = {}, []
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        length, kind = struct.unpack_from("<HB", data, position + 4)
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record, parts = Record.FromString(parts), b""
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                rows.append(
                    {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items}
                )
            if record.WhichOneof("record_type") == "run":
                config = {i.key: json.loads(i.value_json) for i in record.run.config.update}
                run = {"id": record.run.run_id, "config": config}
    return run, rows


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # warnings of MLflow's dependencies
def test_mlflow_has_each_step_once_also_after_a_replay_without_its_cursor(rundir, tmp_path):
    pytest.importorskip("mlflow", reason="the package mlflow is not installed")
    uri = os.environ.get("BABYLM_TEST_MLFLOW") or f"sqlite:///{tmp_path / 'mlflow.sqlite3'}"
    run_replay(rundir, "mlflow", MLFLOW_TRACKING_URI=uri)
    cursor_file(rundir, "mlflow").unlink()
    run_replay(rundir, "mlflow", MLFLOW_TRACKING_URI=uri)
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("babylm")
    (run,) = client.search_runs(
        [experiment.experiment_id], f"tags.`babylm.job` = '{rundir.root.name}'"
    )
    assert run.info.status == "FINISHED"
    assert run.data.params["tokenizer.vocab_size"] == str(SPEC.tokenizer.vocab_size)
    for name, expected in journal_points(rundir).items():
        history = client.get_metric_history(run.info.run_id, name)
        assert same([(each.step, each.value) for each in history], expected), name
    names = {each.path for each in client.list_artifacts(run.info.run_id, "samples")}
    assert "samples/step-000020-Once.txt" in names
