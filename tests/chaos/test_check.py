"""The checker sees what it is there for: each damage done by hand is told."""

import json
import shutil
import sqlite3

import pytest

from chaos.check import Checker, _is_told
from chaos.workload import TRAINED, golden, journal_curves
from core.archs import ARCHITECTURES
from core.events.journal import read_journal
from core.spec.job import JobSpec
from jobs.attempts import claim_next, finish, record_events
from jobs.database import Database, upgrade
from jobs.store import create_job

pytestmark = pytest.mark.system


MUON = len(ARCHITECTURES)
"""The first job whose recipe has Muon, averaged weights and shuffled documents."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A runs folder with one job that succeeded, and its undisturbed run."""
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
        told = read_journal(run / "events.jsonl")
        events = [event for event, _ in told]
        record_events(session, job_id, attempt, events, journal_offset=told[-1][1])
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


def test_nothing_is_told_where_nothing_happened(copy):
    assert check(copy) == []


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DELETE FROM metric WHERE name = 'train/loss' AND step = 77", "119 of 120 losses"),
        ("UPDATE metric SET value = value + 1e-12 WHERE step = 60", "differs from"),
        ("DELETE FROM job_event WHERE seq = 9", "gap or a repeat"),
        ("UPDATE job SET status = 'failed'", "is failed"),
        ('UPDATE job_event SET data = \'{"status":"paused"}\' WHERE seq = 1', "went from paused"),
        ("DELETE FROM checkpoint WHERE name = 'last'", "no checkpoint last"),
        ("DELETE FROM checkpoint WHERE name = 'ema'", "no checkpoint ema"),
        ("DELETE FROM job", "1 jobs were accepted, 0 are there"),
        ("UPDATE checkpoint SET name = 'step-999999' WHERE kind = 'best'", "is shown without"),
        (
            'UPDATE job_event SET type = \'warning\', data = \'{"code":"a","message":"b"}\' '
            "WHERE seq = 20",
            "the journal has",
        ),
    ],
)
def test_what_is_wrong_in_the_database_is_told(copy, statement, told):
    change(copy[0], statement)
    assert any(told in violation for violation in check(copy)), check(copy)


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("checkpoints/last/model.safetensors", "its last weights differ"),
        ("checkpoints/ema/model.safetensors", "its ema weights differ"),
        ("checkpoints/last/README.md", "is not what is shown"),
        ("resume/*/optimizer.safetensors", "is not whole"),
    ],
)
def test_a_damaged_file_is_told(copy, file, told):
    runs, job_id, _ = copy
    path = sorted((runs / "jobs" / job_id).glob(file))[-1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # it may have a second name
    path.write_bytes(content)
    assert any(told in violation for violation in check(copy)), check(copy)


def test_a_file_left_half_written_is_told(copy):
    runs, job_id, _ = copy
    (runs / "jobs" / job_id / "checkpoints" / "last.abc.tmp").mkdir()
    assert any("half written" in violation for violation in check(copy))


def test_curves_are_read_from_a_journal_without_the_services_reader(finished):
    runs, job_id, truth = finished
    curves = journal_curves(runs / "jobs" / job_id / "events.jsonl")
    assert curves == truth.curves
    assert set(curves) == set(TRAINED)
    assert json.loads(json.dumps(curves["train/loss"][1])) == truth.curves["train/loss"][1]


def test_an_error_that_the_service_told_in_the_words_of_the_run_is_no_extra_event():
    full = ("error", {"code": "disk_full"})
    told = [("stage", {"n": 1}), full, ("stage", {"n": 2})]
    assert _is_told([("stage", {"n": 1}), full, full, full, ("stage", {"n": 2})], told)
    assert not _is_told([("stage", {"n": 1}), ("stage", {"n": 2})], told)
    assert not _is_told([("stage", {"n": 2}), full, ("stage", {"n": 1})], told)
    assert not _is_told([*told, ("stage", {"n": 2})], told)
