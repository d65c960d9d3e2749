"""A supervisor with small programs in place of the training process."""

import subprocess
import sys
import textwrap
import threading

import pytest

from core.spec.job import JobSpec
from jobs.attempts import claim_next
from jobs.database import Database, upgrade
from jobs.history import events_after
from jobs.notifier import JobNotifier
from jobs.settings import Settings
from jobs.store import create_job, get_job
from worker.supervisor import Supervisor

SPEC = JobSpec.model_validate({"preset": "sample"}).resolve()

PLAY = """
import json, os, signal, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
journal = open(folder / "events.jsonl", "ab", buffering=0)
def tell(type, **data):
    line = {"time": "2026-01-01T00:00:00Z", "type": type, "data": data}
    journal.write(json.dumps(line).encode() + bytes([10]))
def loss(step):
    tell("metrics", step=step, epoch=0.0, tokens_seen=step, words_seen=step,
         values={"train/loss": 1.0 / step})
def saved(step):
    tell("checkpoint", action="saved", name=f"step-{step:06d}", kind="rolling", step=step,
         tokens_seen=0, words_seen=0, files=[])
"""


class Stage:
    """One job, a database and a supervisor with short timeouts."""

    def __init__(self, folder, **settings) -> None:
        fast = {
            "tick_seconds": 0.02,
            "copy_seconds": 0.0,
            "heartbeat_seconds": 0.05,
            "grace_seconds": 10.0,
        }
        self.settings = Settings(runs_dir=folder / "runs", _env_file=None, **(fast | settings))
        upgrade(self.settings.database_url)
        self.database = Database(self.settings.database_url)
        self.shutdown = threading.Event()
        with self.database.write() as session:
            self.job_id = create_job(session, SPEC)[0].id
        self.folder = self.settings.job_folder(self.job_id)

    def claim(self, worker_id: str = "first"):
        with self.database.write() as session:
            job = claim_next(session, worker_id)
        assert job is not None
        return job

    def play(self, script: str, *, job=None) -> None:
        """Runs one attempt of the job with a program in the place of training."""
        program = PLAY + textwrap.dedent(script)

        def command(folder):
            return [sys.executable, "-c", program, str(folder)]

        Supervisor(
            database=self.database,
            settings=self.settings,
            job_notifier=JobNotifier(None),
            command_for=command,
            shutdown=self.shutdown,
        ).run(job or self.claim())

    def in_background(self, script: str, *, job=None) -> threading.Thread:
        """Runs one attempt in a thread."""
        thread = threading.Thread(target=self.play, args=(script,), kwargs={"job": job})
        thread.start()
        return thread

    def play_alone(self, script: str) -> None:
        """Runs a training process without a supervisor, as if the supervisor had died."""
        self.folder.mkdir(parents=True, exist_ok=True)
        program = PLAY + textwrap.dedent(script)
        subprocess.run([sys.executable, "-c", program, str(self.folder)], check=True)

    @property
    def job(self):
        with self.database.read() as session:
            return get_job(session, self.job_id)

    def events(self, kind: str | None = None) -> list:
        with self.database.read() as session:
            found = events_after(session, self.job_id)
        assert [event.seq for event in found] == list(range(1, len(found) + 1))
        return [event for event in found if kind in (None, event.type)]

    def steps(self) -> list[int]:
        return [event.data["step"] for event in self.events("metrics")]


@pytest.fixture
def stage(tmp_path):
    made = []

    def make(**settings) -> Stage:
        made.append(Stage(tmp_path, **settings))
        return made[-1]

    yield make
    for one in made:
        one.database.dispose()
