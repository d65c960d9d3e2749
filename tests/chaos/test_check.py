"""The checker of the chaos tests reports each kind of damage."""

import json
import shutil
import sqlite3

import pytest

from chaos.check import Checker, _matches
from chaos.workload import TRAINED, golden, journal_curves
from core.archs import ARCHITECTURES
from core.events.journal import read_journal
from core.spec.job import JobSpec
from jobs.attempts import claim_next, finish, record_events
from jobs.database import Database, upgrade
from jobs.store import create_job

pytestmark = pytest.mark.system


MUON = len(ARCHITECTURES)
"""Number of the first job that trains with Muon, averaged weights and shuffled documents."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A runs folder with one successful job, and the results of an undisturbed run of this job."""
    folder = tmp_path_factory.mktemp("undisturbed")
    truth = golden(MUON, folder=folder)
    runs = tmp_path_factory.mktemp("finished")
    upgrade(f"sqlite:///{runs / 'babylm.sqlite3'}")
    database = Database(f"sqlite:///{runs / 'babylm.sqlite3'}")
    (run,) = (path.parent for path in folder.glob("*/golden.json"))
    with database.write() as session:
        spec = JobSpec.model_validate_json((run / "spec.json").read_bytes())
        job_id = create_job(session, spec)[0].id
        attempt = claim_next(session, "worker").attempt
        entries = read_journal(run / "events.jsonl")
        events = [event for event, _ in entries]
        record_events(session, job_id, attempt, events, journal_offset=entries[-1][1])
        finish(session, job_id, attempt, "succeeded")
    database.engine.dispose()
    shutil.copytree(run, runs / "jobs" / job_id)
    return runs, job_id, truth


@pytest.fixture
def copy(finished, tmp_path):
    runs, job_id, truth = finished
    shutil.copytree(runs, tmp_path / "runs")
    return tmp_path / "runs", job_id, truth


def check(copy) -> list[str]:
    runs, job_id, truth = copy
    checker = Checker(runs, damaged=set())
    checker.check({"key": job_id}, {"key": truth})
    return checker.violations


def change(runs, statement: str) -> None:
    with sqlite3.connect(runs / "babylm.sqlite3") as database:
        assert database.execute(statement).rowcount > 0
    database.close()


def test_an_undisturbed_run_has_no_violations(copy):
    assert check(copy) == []


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DELETE FROM metric WHERE name = 'train/loss' AND step = 77", "119 of 120 losses"),
        ("UPDATE metric SET value = value + 1e-12 WHERE step = 60", "differs from"),
        ("DELETE FROM job_event WHERE seq = 9", "gap or a repeat"),
        ("UPDATE job SET status = 'failed'", "is failed"),
        ('UPDATE job_event SET data = \'{"status":"paused"}\' WHERE seq = 1', "went from paused"),
        ("DELETE FROM checkpoint WHERE name = 'last'", "no checkpoint last"),
        ("DELETE FROM checkpoint WHERE name = 'ema'", "no checkpoint ema"),
        ("DELETE FROM job", "1 jobs were accepted, 0 exist"),
        (
            "UPDATE checkpoint SET name = 'step-999999' WHERE kind = 'best' AND removed_at IS NULL",
            "is listed without",
        ),
        (
            'UPDATE job_event SET type = \'warning\', data = \'{"code":"a","message":"b"}\' '
            "WHERE seq = 20",
            "the journal has",
        ),
    ],
)
def test_a_damaged_database_is_reported(copy, statement, expected):
    change(copy[0], statement)
    assert any(expected in violation for violation in check(copy)), check(copy)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("checkpoints/last/model.safetensors", "its last weights differ"),
        ("checkpoints/ema/model.safetensors", "its ema weights differ"),
        ("checkpoints/last/README.md", "differs from its row"),
        ("resume/*/optimizer.safetensors", "incomplete"),
    ],
)
def test_a_damaged_file_is_reported(copy, file, expected):
    runs, job_id, _ = copy
    path = sorted((runs / "jobs" / job_id).glob(file))[-1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # the file may be a hard link
    path.write_bytes(content)
    assert any(expected in violation for violation in check(copy)), check(copy)


def test_an_incomplete_file_is_reported(copy):
    runs, job_id, _ = copy
    (runs / "jobs" / job_id / "checkpoints" / "last.abc.tmp").mkdir()
    assert any("incomplete file" in violation for violation in check(copy))


def test_curves_are_read_from_a_journal_without_the_services_reader(finished):
    runs, job_id, truth = finished
    curves = journal_curves(runs / "jobs" / job_id / "events.jsonl")
    assert curves == truth.curves
    assert set(curves) == set(TRAINED)
    assert json.loads(json.dumps(curves["train/loss"][1])) == truth.curves["train/loss"][1]


def test_additional_error_events_of_the_service_are_accepted():
    full = ("error", {"code": "disk_full"})
    journal = [("stage", {"n": 1}), full, ("stage", {"n": 2})]
    assert _matches([("stage", {"n": 1}), full, full, full, ("stage", {"n": 2})], journal)
    assert not _matches([("stage", {"n": 1}), ("stage", {"n": 2})], journal)
    assert not _matches([("stage", {"n": 2}), full, ("stage", {"n": 1})], journal)
    assert not _matches([*journal, ("stage", {"n": 2})], journal)
