"""Checks database, journals and files of a round, and compares the results with undisturbed runs.

The checker reads SQLite, the journals and the files with its own code, so that it does not repeat
an error of the service. It shares only the table of status transitions with the service.
"""

import hashlib
import json
import math
import sqlite3
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from chaos.workload import STEPS, Curves, Golden
from jobs.states import TRANSITIONS

SERVICE_EVENTS = {"status"}
SERVICE_WARNINGS = {"attempt_died", "journal_damaged"}

Row = sqlite3.Row


class Checker:
    """Checks the data of a service that has ended."""

    def __init__(self, runs: Path, *, damaged: set[Path]) -> None:
        """`damaged` has the resume points that a fault damaged; they are not checked."""
        self._runs = runs
        self._damaged = damaged
        self.violations: list[str] = []
        self.attempts = 0
        self.interrupted = 0
        """Number of jobs with more than one attempt."""

    def check(self, jobs: Mapping[str, str], goldens: Mapping[str, Golden]) -> None:
        """Runs all checks.

        Args:
            jobs: Job ids by idempotency key.
            goldens: Results of the undisturbed runs by idempotency key.
        """
        database = sqlite3.connect(f"file:{self._runs / 'babylm.sqlite3'}?mode=ro", uri=True)
        database.row_factory = sqlite3.Row
        with database:
            if database.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                self._violated("the database is damaged")
            rows = {row["id"]: row for row in database.execute("SELECT * FROM job")}
            if sorted(rows) != sorted(jobs.values()):
                self._violated(f"{len(jobs)} jobs were accepted, {len(rows)} exist")
            for key, job_id in jobs.items():
                if job_id in rows:
                    self._job(database, rows[job_id], goldens[key])
        database.close()
        self._partial_files()

    def _violated(self, what: str) -> None:
        self.violations.append(what)

    def _job(self, database: sqlite3.Connection, row: Row, golden: Golden) -> None:
        job_id = row["id"]
        self.attempts += row["attempt"]
        self.interrupted += row["attempt"] > 1
        if row["status"] != "succeeded":
            self._violated(f"job {job_id} is {row['status']} ({row['error_code']})")
            return
        query = "SELECT seq, type, data FROM job_event WHERE job_id = ? ORDER BY seq"
        events = [
            (event["seq"], event["type"], json.loads(event["data"]))
            for event in database.execute(query, (job_id,))
        ]
        self._events(row, events)
        self._journal(job_id, events)
        self._curves(database, job_id, golden)
        self._checkpoints(database, job_id, golden)
        self._resume_points(job_id)

    def _events(self, row: Row, events: "list[tuple[int, str, Any]]") -> None:
        job_id = row["id"]
        if [seq for seq, _, _ in events] != list(range(1, row["last_seq"] + 1)):
            self._violated(f"job {job_id}: its events have a gap or a repeat")
        statuses = [data["status"] for _, kind, data in events if kind == "status"]
        for before, after in pairwise(statuses):
            if (before, after) not in TRANSITIONS:
                self._violated(f"job {job_id} went from {before} to {after}")
        if statuses[-1:] != ["succeeded"] or events[-1][1] != "status":
            self._violated(f"job {job_id}: its last event is not `succeeded`")

    def _journal(self, job_id: str, events: "list[tuple[int, str, Any]]") -> None:
        """Checks that the events are the lines of the journal, in the same order."""
        journal = [
            (event["type"], _finite(event["data"]))
            for event in _lines(self._runs / "jobs" / job_id / "events.jsonl")
        ]
        copied = [
            (kind, data)
            for _, kind, data in events
            if kind not in SERVICE_EVENTS
            and not (kind == "warning" and data["code"] in SERVICE_WARNINGS)
        ]
        if not _matches(copied, journal):
            self._violated(
                f"job {job_id}: the journal has {len(journal)} events; the database has "
                f"{len(copied)} events of the run, and they differ from the journal or are in "
                "another order"
            )

    def _curves(self, database: sqlite3.Connection, job_id: str, golden: Golden) -> None:
        curves: Curves = {name: {} for name in golden.curves}
        query = "SELECT name, step, value FROM metric WHERE job_id = ?"
        for metric in database.execute(query, (job_id,)):
            if metric["name"] in curves:
                curves[metric["name"]][metric["step"]] = metric["value"]
        if sorted(curves["train/loss"]) != list(range(1, STEPS + 1)):
            self._violated(f"job {job_id}: {len(curves['train/loss'])} of {STEPS} losses")
        for name, curve in golden.curves.items():
            if curves[name] != curve:
                self._violated(f"job {job_id}: {name} differs from the undisturbed run")

    def _checkpoints(self, database: sqlite3.Connection, job_id: str, golden: Golden) -> None:
        folder = self._runs / "jobs" / job_id / "checkpoints"
        query = "SELECT name, files FROM checkpoint WHERE job_id = ? AND removed_at IS NULL"
        shown = {
            row["name"]: json.loads(row["files"]) for row in database.execute(query, (job_id,))
        }
        for name, files in shown.items():
            for file in files:
                path = folder / name / file["path"]
                if not path.is_file():
                    self._violated(f"job {job_id}: {name} is listed without {file['path']}")
                elif (path.stat().st_size, _sha256(path)) != (file["size"], file["sha256"]):
                    self._violated(f"job {job_id}: {name}/{file['path']} differs from its row")
        for name, weights in golden.weights.items():
            if name not in shown:
                self._violated(f"job {job_id} has no checkpoint {name}")
            elif _sha256(folder / name / "model.safetensors") != weights:
                self._violated(f"job {job_id}: its {name} weights differ from the undisturbed run")

    def _resume_points(self, job_id: str) -> None:
        for point in sorted((self._runs / "jobs" / job_id / "resume").glob("step-??????")):
            if point in self._damaged:
                continue
            try:
                entries = json.loads((point / "manifest.json").read_bytes())
                whole = all(
                    _sha256(point / name) == entry["sha256"] for name, entry in entries.items()
                )
            except (OSError, ValueError, KeyError):
                whole = False
            if not whole:
                self._violated(f"job {job_id}: its resume point {point.name} is incomplete")

    def _partial_files(self) -> None:
        for path in (self._runs / "jobs").glob("*/**/*.tmp"):
            self._violated(f"incomplete file: {path.relative_to(self._runs)}")


def _matches(copied: "list[tuple[str, Any]]", journal: "list[tuple[str, Any]]") -> bool:
    """Whether `copied` has the events of `journal` in order, with only `error` events added.

    On a full disk the service writes the `error` event that the run could not write, with the same
    text as the run's own `error` events.
    """
    place = 0
    for kind, data in copied:
        if place < len(journal) and journal[place] == (kind, data):
            place += 1
        elif kind != "error":
            return False
    return place == len(journal)


def _lines(journal: Path) -> Iterator[Any]:  # any JSON value
    for line in journal.read_bytes().splitlines():
        yield json.loads(line)


def _finite(value: Any) -> Any:  # any JSON value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
