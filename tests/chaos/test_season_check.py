"""The checker of `python -m chaos season` reports each kind of damage.

The command kills workers during a study, evaluations and a submission.
"""

import json
import shutil
import sqlite3

import pytest

from chaos.season_check import check_season
from core.short import RequestHandler
from core.storage.rundir import RunDir
from tests.core.submission.conftest import write_run
from tests.official_files import write_official_files

pytestmark = pytest.mark.system

TASK = "blimp_filtered"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a data directory and with a runs folder, which has one evaluated job."""
    folder = tmp_path_factory.mktemp("season")
    (folder / "runs" / "jobs").mkdir(parents=True)
    rundir = write_run(folder / "runs" / "jobs" / "one")
    write_official_files(folder / "data" / "evaluations", items=4)
    request = {
        "id": "0",
        "kind": "evaluate",
        "checkpoint_dir": str(rundir.checkpoint("last")),
        "task_dir": str(folder / "data" / "evaluations" / TASK),
        "predictions_file": str(rundir.predictions("last", TASK)),
        "slice_seconds": 60.0,
    }
    result = RequestHandler().answer(json.dumps(request))
    with sqlite3.connect(folder / "runs" / "babylm.sqlite3") as database:
        database.executescript(
            """
            CREATE TABLE job_event (job_id, type, data);
            CREATE TABLE short_task (id, job_id, kind, status, request, result);
            CREATE TABLE metric (job_id, name, value);
            """
        )
        event = {"task": TASK, "scores": {"score": result["score"]}}
        database.execute(
            "INSERT INTO job_event VALUES ('one', 'evaluation', ?)", [json.dumps(event)]
        )
        row = [json.dumps({"task": TASK, "checkpoint": "last"}), json.dumps(result)]
        database.execute(
            "INSERT INTO short_task VALUES ('1', 'one', 'evaluate', 'succeeded', ?, ?)", row
        )
        database.execute(
            "INSERT INTO metric VALUES ('one', ?, ?)", [f"evaluation/{TASK}", result["score"]]
        )
    database.close()
    return folder


def check(folder) -> list[str]:
    violations, _ = check_season(folder / "runs", folder / "data", expected={("one", TASK)})
    return violations


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT 1", None),
        (
            "INSERT INTO job_event SELECT * FROM job_event",
            "events: ('one', 'blimp_filtered') is recorded 2 times",
        ),
        ("INSERT INTO short_task SELECT * FROM short_task", "is recorded 2 times"),
        ("DELETE FROM metric", "metrics: ('one', 'blimp_filtered') is recorded 0 times"),
        ("UPDATE metric SET value = value + 1e-12", "its event has"),
        ("UPDATE short_task SET status = 'running'", "the task 1 has not ended"),
        (
            "UPDATE job_event SET data = replace(data, 'blimp_filtered', 'comps')",
            "('one', 'comps') was not asked for",
        ),
        ("UPDATE job_event SET data = replace(data, '0.', '0.000')", "undisturbed"),
    ],
)
def test_a_score_that_is_lost_repeated_or_wrong_is_reported(
    finished, tmp_path, statement, expected
):
    shutil.copytree(finished, tmp_path / "copy")
    with sqlite3.connect(tmp_path / "copy" / "runs" / "babylm.sqlite3") as database:
        database.execute(statement)
    database.close()
    violations = check(tmp_path / "copy")
    if expected is None:
        assert violations == []
    else:
        assert any(expected in each for each in violations), violations


def test_predictions_and_submissions_that_differ_are_reported(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy")
    rundir = RunDir(tmp_path / "copy" / "runs" / "jobs" / "one")
    rundir.predictions("last", TASK).write_text("{}")
    for name in ("1", "2"):
        (rundir.submissions / name).mkdir(parents=True)
        manifest = {"files": [{"path": "README.md", "sha256": "0" * 64}]}
        (rundir.submissions / name / "manifest.json").write_text(json.dumps(manifest))
        (rundir.submissions / name / "README.md").write_text("card")
    (rundir.root / "report.json.tmp").touch()
    violations = check(tmp_path / "copy")
    expected = ("predictions differ", "2 submissions", "differs from its manifest", "incomplete")
    for text in expected:
        assert any(text in each for each in violations), violations
