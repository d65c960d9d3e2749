"""A simulated Slurm, and functions that write to the database what a pilot writes.

A pilot is a Slurm job that runs one worker for one job of the service.
"""

import json
import os
import sys
from pathlib import Path

from core.events.types import now
from core.spec.job import JobSpec
from jobs.attempts import claim_next
from jobs.database import Database
from jobs.placements import start_pilot
from jobs.resources import Offer, offer_row
from jobs.slurm.client import Slurm
from jobs.slurm.provisioner import Pace
from jobs.store import create_job
from jobs.tables import WorkerRow
from tests.jobs.fake_slurm import Opened

FAKE = Path(__file__).with_name("fake_slurm.py")
PROGRAMS = ("sbatch", "squeue", "scancel", "scontrol")
AT_ONCE = Pace(settle_seconds=0.0, retry_seconds=0.0)


class Cluster:
    """The simulated programs, on their own PATH, and their calls."""

    def __init__(self, folder: Path, *, seed: int = 0, rate: float = 0.0) -> None:
        self.path = folder / "state.json"
        folder.mkdir()
        state = {"seed": seed, "rate": rate, "last_id": 4710, "planned": {}}
        state |= {"jobs": {}, "late": [], "calls": [], "faults": {}, "cancelled": []}
        self.path.write_text(json.dumps(state))
        for name in PROGRAMS:
            program = folder / name
            program.write_text(
                f'#!/bin/sh\nexec {sys.executable} -S -E {FAKE} {self.path} {name} "$@"\n'
            )
            program.chmod(0o755)
        self.environment = os.environ | {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "BABYLM_DATABASE_URL": "postgresql+psycopg://babylm:secret@db/babylm",
        }

    def slurm(self, seconds: float = 20.0) -> Slurm:
        return Slurm(timeout_seconds=seconds, environment=self.environment)

    def plan(self, program: str, *faults: str | None) -> None:
        with Opened(self.path) as state:
            state["planned"][program] = list(faults)

    def set(self, slurm_id: str, **fields: str) -> None:
        with Opened(self.path) as state:
            state["jobs"][slurm_id] |= fields

    def set_rate(self, rate: float) -> None:
        with Opened(self.path) as state:
            state["rate"] = rate

    @property
    def state(self):
        return json.loads(self.path.read_text())

    @property
    def jobs(self):
        return self.state["jobs"]

    def calls(self, program: str) -> int:
        return self.state["calls"].count(program)


class Killed(Exception):
    """Simulates the death of the provisioner."""


class DyingSlurm(Slurm):
    """Raises `Killed` in place of the call of sbatch, or after the call if `after` is true."""

    def __init__(self, *, after: bool, **options) -> None:
        super().__init__(**options)
        self.after = after

    def submit(self, options, script):
        if self.after:
            super().submit(options, script)
        raise Killed


def put(database: Database, **resources) -> str:
    body = {"preset": "sample", "resources": {"where": "slurm"} | resources}
    with database.write() as session:
        return create_job(session, JobSpec.model_validate(body).resolve())[0].id


def pilot_starts(database: Database, job_id: str, slurm_id: str, attempt: int = 1) -> bool:
    with database.write() as session:
        return start_pilot(
            session, job_id, attempt, slurm_id=slurm_id, worker_id=f"pilot-{slurm_id}"
        )


def pilot_claims(database: Database, job_id: str, slurm_id: str):
    with database.write() as session:
        offer = Offer(where="slurm", job_id=job_id)
        return claim_next(session, f"pilot-{slurm_id}", offer)


def worker_row(name: str, offer: Offer) -> WorkerRow:
    return WorkerRow(
        id=name,
        hostname="host",
        machine="boot",
        pid=1,
        queue="train",
        slots=1,
        devices=[],
        job_ids=[],
        offer=offer_row(offer),
        started_at=now(),
        seen_at=now(),
    )
