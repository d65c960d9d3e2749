"""Many jobs under random faults of Slurm, of the pilots and of the provisioner."""

import os
import random
from collections import Counter

import pytest

from jobs.attempts import finish, reap, requeue
from jobs.database import Database
from jobs.errors import Fenced, InvalidTransition
from jobs.placements import ENDED, open_placements
from jobs.resources import Offer
from jobs.slurm.provisioner import Provisioner
from jobs.states import FINAL
from jobs.store import get_job, request_cancel, request_pause, resume
from jobs.workers import remove_worker, report_worker
from tests.jobs.fake_slurm import Opened
from tests.jobs.slurm_cluster import (
    AT_ONCE,
    Cluster,
    DyingSlurm,
    Killed,
    pilot_claims,
    pilot_starts,
    put,
    worker_row,
)


class Nodes:
    """Simulates the compute nodes: pilots start, claim, work, and are killed or preempted."""

    def __init__(self, database: Database, cluster: Cluster, dice: random.Random) -> None:
        self.database, self.cluster, self.dice = database, cluster, dice
        self.working: dict[str, tuple[str, int]] = {}
        """Job and attempt that a pilot holds, by its Slurm id."""
        self.claims: Counter[tuple[str, int]] = Counter()
        self.doubles: list[str] = []
        self.faults: Counter[str] = Counter()

    def step(self) -> None:
        for slurm_id, job in self.cluster.jobs.items():
            if job["state"] == "PENDING" and self.dice.random() < 0.5:
                self._start(slurm_id, job["name"])
            elif slurm_id in self.working and self.dice.random() < 0.6:
                self._go_on(slurm_id)
            elif job["state"] in ENDED and slurm_id not in self.working:
                self._maybe_forget(slurm_id)

    def _start(self, slurm_id: str, name: str) -> None:
        _, job_id, attempt = name.split("-")
        if self.dice.random() < 0.15:
            self.faults["pilot killed before it claimed"] += 1
            self.cluster.set(slurm_id, state="NODE_FAIL")
            return
        self.cluster.set(slurm_id, state="RUNNING")
        if not pilot_starts(self.database, job_id, slurm_id, int(attempt)):
            self._leave(slurm_id, "COMPLETED")
            return
        claimed = pilot_claims(self.database, job_id, slurm_id)
        if claimed is None:
            self._leave(slurm_id, "COMPLETED")
            return
        if job_id in {held for held, _ in self.working.values()}:
            self.doubles.append(job_id)
        self.claims[job_id, claimed.attempt] += 1
        self.working[slurm_id] = job_id, claimed.attempt
        with self.database.write() as session:
            offer = Offer(where="slurm", job_id=job_id)
            report_worker(session, worker_row(f"pilot-{slurm_id}", offer))

    def _go_on(self, slurm_id: str) -> None:
        job_id, attempt = self.working.pop(slurm_id)
        end = self.dice.choices(("done", "time limit", "lost"), (4, 3, 3))[0]
        if end != "done":
            self.faults[f"pilot: {end}"] += 1
        try:
            with self.database.write() as session:
                if end == "done":
                    finish(session, job_id, attempt, "succeeded")
                elif end == "time limit":
                    requeue(session, job_id, attempt, reason="worker_shutdown")
                else:
                    beat = get_job(session, job_id).heartbeat
                    reap(session, job_id, attempt=attempt, beat=beat)
                remove_worker(session, f"pilot-{slurm_id}")
        except Fenced:
            self.doubles.append(job_id)
        states = {"done": "COMPLETED", "time limit": "TIMEOUT", "lost": "NODE_FAIL"}
        self._leave(slurm_id, states[end])

    def _leave(self, slurm_id: str, state: str) -> None:
        self.cluster.set(slurm_id, state=state)

    def _maybe_forget(self, slurm_id: str) -> None:
        """Removes ended jobs, as Slurm does after some minutes."""
        if self.dice.random() > 0.3:
            return
        with Opened(self.cluster.path) as state:
            del state["jobs"][slurm_id]


@pytest.mark.parametrize(
    ("num_jobs", "num_faults"),
    [
        (10, 30),
        pytest.param(
            *(100, 300),
            marks=pytest.mark.skipif(
                "BABYLM_TRY_SLURM" not in os.environ, reason="minutes; needs BABYLM_TRY_SLURM=1"
            ),
        ),
    ],
)
def test_jobs_under_faults_of_slurm_all_end_once(
    database, settings, tmp_path, num_jobs, num_faults
):
    """Uses a real provisioner and database, and a process for each call of a Slurm program."""
    dice = random.Random(17)
    cluster = Cluster(tmp_path / "lying", seed=17, rate=0.5)
    jobs = [put(database, where="any") for _ in range(num_jobs)]
    nodes = Nodes(database, cluster, dice)
    crashes = 0
    for turn in range(400):
        slurm = cluster.slurm(2.0)
        if dice.random() < 0.2:
            slurm = DyingSlurm(
                after=dice.random() < 0.5, timeout_seconds=2.0, environment=cluster.environment
            )
        few = settings.model_copy(update={"slurm_max_pilots": num_jobs // 4})
        try:
            Provisioner(database, few, slurm, pace=AT_ONCE).provision()
        except Killed:
            crashes += 1
        nodes.step()
        meddle(database, dice, jobs)
        total = sum(cluster.state["faults"].values()) + sum(nodes.faults.values()) + crashes
        if total >= num_faults:
            cluster.set_rate(0.0)
            dice = random.Random(turn)
        if all_ended(database, jobs):
            break
    for _ in range(6):
        Provisioner(database, settings, cluster.slurm(), pace=AT_ONCE).provision()
    assert total >= num_faults
    assert all_ended(database, jobs)
    assert nodes.doubles == []
    assert set(nodes.claims.values()) == {1}
    assert not [job for job in cluster.jobs.values() if job["state"] in ("PENDING", "RUNNING")]
    with database.read() as session:
        assert open_placements(session) == []


def meddle(database: Database, dice: random.Random, jobs: list[str]) -> None:
    """Simulates users, who pause and resume jobs, and sometimes cancel a job."""
    for job_id in dice.sample(jobs, 1 + len(jobs) // 40):
        act = dice.choices((request_pause, resume, request_cancel), (3, 6, 0.2))[0]
        try:
            with database.write() as session:
                if act is not resume and get_job(session, job_id).status == "running":
                    continue  # a simulated pilot reads no requests
                act(session, job_id)
        except InvalidTransition:
            continue


def all_ended(database: Database, jobs: list[str]) -> bool:
    with database.read() as session:
        return all(get_job(session, job_id).status in FINAL for job_id in jobs)
