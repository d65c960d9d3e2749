"""`babylm track` sends a run folder to a tracker, starting after the last event it sent."""

import json

from core.events.journal import JournalWriter
from core.events.types import MetricsData
from core.spec.job import JobSpec
from core.storage.rundir import RunDir
from tests.babylm.conftest import error_of


def write_run(folder, steps) -> RunDir:
    rundir = RunDir(folder)
    rundir.root.mkdir(exist_ok=True)
    rundir.spec.write_text(JobSpec.model_validate({"preset": "sample"}).resolve().model_dump_json())
    with JournalWriter(rundir.journal) as journal:
        for step in steps:
            values = {"train/loss": 1.0 / step}
            journal.append(
                MetricsData(step=step, epoch=0.0, tokens_seen=1, words_seen=1, values=values)
            )
    return rundir


def test_a_run_folder_is_sent_to_tensorboard_from_where_the_last_call_ended(run, tmp_path):
    rundir = write_run(tmp_path / "run", range(1, 4))
    sent = run("track", str(rundir.root), "--to", "tensorboard", "--json")
    assert json.loads(sent.stdout) == {"tensorboard": {"events": 3, "at": str(rundir.tensorboard)}}
    (file,) = rundir.tensorboard.iterdir()
    before = file.stat().st_size
    write_run(tmp_path / "run", range(3, 6))
    assert "3 events sent" in run("track", str(rundir.root), "--to", "tensorboard").stdout
    whole = file.read_bytes()
    assert len(whole) > before
    again = run("track", str(rundir.root), "--to", "tensorboard", "--from-start")
    assert "6 events sent" in again.stdout
    assert file.read_bytes() == whole


def test_a_tracker_that_does_not_exist_or_does_not_take_the_events_is_named(run, tmp_path):
    rundir = write_run(tmp_path / "run", [1])
    assert "comet is not a tracker" in str(
        error_of(run("track", str(rundir.root), "--to", "comet")).message
    )
    rundir.tensorboard.write_text("a file in the place of the folder")
    refused = error_of(run("track", str(rundir.root), "--to", "tensorboard"))
    assert "tensorboard did not accept the events: FileExistsError" in refused.message
    assert "continues from here" in refused.hint
