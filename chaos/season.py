"""Kills workers during a study, its evaluations and its submissions, and checks the scores.

This program calls a study with its evaluations and submissions a season. Each kill hits a worker
that is busy, at a random instant. Half of the kills also hit the child processes of the worker, as
the end of a container does. At the end, each score must be recorded exactly once and must equal the
score of an undisturbed evaluation.
"""

import json
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import psutil

from chaos.client import POLL_SECONDS, Body, Client
from chaos.processes import Part, Service
from chaos.season_check import check_season
from chaos.workload import Spec, spec_of, write_corpus
from core.export.submission.official import FULL
from tests.official_files import write_official_files

SETTINGS = {
    "BABYLM_LEASE_SECONDS": "6",
    "BABYLM_HEARTBEAT_SECONDS": "0.5",
    "BABYLM_MAX_ATTEMPTS": "10000",
}
GRID = {"training.learning_rate": [1e-3, 5e-3]}
SEEDS = 3
TASKS = ("blimp_filtered", "wug_past_tense")
"""Tasks on which each run of the study evaluates its model."""
ITEMS = 300
"""Number of items of each generated evaluation file."""
WAITS = {"study": 4.0, "evaluate": 6.0, "submission": 1.5}
"""For each kind of work, the maximum seconds between finding a worker that does it and the kill.
Starting a process takes several of these seconds."""
SHARES = {"study": 0.4, "evaluate": 0.4, "submission": 0.2}
"""Share of the kills that interrupt each kind of work."""
LOOK_SECONDS = 0.02
TOTAL_SECONDS = 1500.0


def run_season(*, kills: int, seed: int) -> int:
    """Runs a season, kills workers, and prints a report as JSON; returns 1 if it has violations."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        season = _Season(Path(folder), random.Random(seed), kills)
        violations = season.run()
        report = {
            "kills": dict(season.killer.counts),
            "jobs": len(season.jobs),
            "scores": season.scores,
            "submissions_asked": season.submissions,
            "violations": violations,
            "seconds": round(time.monotonic() - began, 1),
        }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return 1 if violations else 0


class _Season:
    def __init__(self, folder: Path, rng: random.Random, kills: int) -> None:
        write_corpus(folder / "data")
        write_official_files(folder / "data" / "evaluations", items=ITEMS)
        self._service = Service(folder, mode="embedded", settings=SETTINGS)
        self._client = Client(self._service.url)
        self.killer = _Killer(self._service, rng, kills)
        self.jobs: list[str] = []
        self.submissions = 0
        """Number of requests for a submission, which are repeated until all evaluations exist."""
        self.scores = 0
        self._submitted: list[str] = []

    def run(self) -> list[str]:
        """Runs the season; returns the violations."""
        self._service.start()
        try:
            self.killer.start()
            study = self._client.post("/v1/studies", _study(), key="season")
            self.jobs = [member["job"] for member in study["members"]]
            self._until(lambda: self._client.tend(self.jobs[0]))
            self._submit(self.jobs[0])
            self._until(self._study_has_ended)
            self.killer.end_of_study()
            for job in self.jobs[1:]:
                if self.killer.is_alive():
                    self._submit(job)
        finally:
            self.killer.stop()
            self._service.stop()
            self._client.close()
        expected = {(job, task) for job in self.jobs for task in TASKS}
        expected |= {(job, task.name) for job in self._submitted for task in FULL}
        violations, self.scores = check_season(
            self._service.runs, self._service.data, expected=expected
        )
        for kind, count in (+self.killer.left).items():  # without the zeros
            violations.append(f"{count} kills of the kind {kind!r} had no target")
        return violations + self._client.problems

    def _study_has_ended(self) -> bool:
        """Restarts members that a fault ended; True if all have succeeded."""
        states = [self._client.tend(job) for job in self.jobs]
        return all(states)

    def _submit(self, job_id: str) -> None:
        """Asks for a submission until all evaluations exist, as a user repeats the command."""
        path = f"/v1/jobs/{job_id}/submission"
        self._submitted.append(job_id)
        while True:
            self._client.post(path, {"repository": "user/season"}, key=None)
            self.submissions += 1
            self._until(lambda: self._client.get(path)["status"] in ("succeeded", "failed"))
            found = self._client.get(path)
            missing = (found["report"] or {}).get("missing", [{"kind": "evaluation"}])
            if not any(each["kind"] == "evaluation" for each in missing):
                return

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TOTAL_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {TOTAL_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)


class _Killer(threading.Thread):
    """Kills busy workers at random instants.

    Attributes:
        counts: Number of kills by kind of work.
        left: Number of kills that are still to be done, by kind of work.
    """

    def __init__(self, service: Service, rng: random.Random, kills: int) -> None:
        super().__init__(name="killer", daemon=True)
        self.counts: Counter[str] = Counter()
        self.left = Counter({kind: round(kills * share) for kind, share in SHARES.items()})
        self._service, self._rng = service, rng
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def run(self) -> None:
        """The loop."""
        while self.left.total() and not self._ended.wait(LOOK_SECONDS):
            kinds = [kind for kind in +self.left if self._busy(kind) is not None]
            if not kinds:
                continue
            kind = self._rng.choice(kinds)
            self._ended.wait(self._rng.uniform(0.0, WAITS[kind]))
            part = self._busy(kind)
            with self._lock:
                if part is not None and self.left[kind] and self._kill(part):
                    self.counts[kind] += 1
                    self.left[kind] -= 1

    def end_of_study(self) -> None:
        """Uses the remaining kills of the study to interrupt evaluations."""
        with self._lock:
            self.left["evaluate"] += self.left.pop("study", 0)

    def stop(self) -> None:
        """Ends the thread."""
        self._ended.set()
        if self.is_alive():
            self.join()

    def _busy(self, kind: str) -> Part | None:
        """A worker that does this kind of work now; None if there is none."""
        if kind == "study":
            parents = set()
            for pid in self._service.trainers():
                with suppress(psutil.NoSuchProcess):
                    parents.add(psutil.Process(pid).ppid())
            busy = [part for part in self._service.worker_parts() if part.pid in parents]
            return self._rng.choice(busy) if busy else None
        database = self._service.runs / "babylm.sqlite3"
        query = "SELECT count(*) FROM short_task WHERE status = 'running' AND kind = ?"
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            (running,) = connection.execute(query, (kind,)).fetchone()
        return self._service.parts["short"] if running else None

    def _kill(self, part: Part) -> bool:
        children: list[psutil.Process] = []
        if part.pid is not None and self._rng.random() < 0.5:
            with suppress(psutil.NoSuchProcess):
                children = psutil.Process(part.pid).children(recursive=True)
        killed = part.send(signal.SIGKILL)
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        return killed


def _study() -> Body:
    spec: Spec = spec_of(0) | {
        "track": "strict-small",
        "evaluation": {"tasks": list(TASKS)},
    }
    spec["training"] = spec["training"] | {"epochs": 10, "max_steps": 40}
    return {"name": "season", "spec": spec, "grid": GRID, "seeds": SEEDS}
