"""The provisioner on programs that simulate Slurm and its faults."""

import json
import os
import random
import stat
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.events.types import now
from core.sample import write_sample
from core.spec.job import JobSpec
from jobs.attempts import claim_next, finish, reap, requeue
from jobs.database import Database
from jobs.errors import Fenced, InvalidTransition, SettingsInvalid, SlurmError
from jobs.placements import ENDED, find_placement, open_placements, start_pilot
from jobs.private_settings import load_private_settings, write_private_settings
from jobs.resources import Offer, offer_row
from jobs.settings import Settings
from jobs.slurm.client import Slurm
from jobs.slurm.provisioner import Pace, Provisioner
from jobs.slurm.script import read_template
from jobs.slurm.time_limit import time_limit_minutes
from jobs.states import FINAL
from jobs.store import create_job, get_job, request_cancel, request_pause, resume
from jobs.tables import WorkerRow
from jobs.waiting import read_queue, waiting_for
from jobs.workers import live_train_workers, remove_worker, report_worker
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


@pytest.fixture
def settings(tmp_path, url):
    return Settings(_env_file=None, database_url=url, runs_dir=tmp_path / "runs")


@pytest.fixture
def cluster(tmp_path):
    return Cluster(tmp_path / "slurm")


@pytest.fixture
def provisioner(database, settings, cluster):
    return Provisioner(database, settings, cluster.slurm(), pace=AT_ONCE)


def put(database: Database, **resources) -> str:
    body = {"preset": "sample", "resources": {"where": "slurm"} | resources}
    with database.write() as session:
        return create_job(session, JobSpec.model_validate(body).resolve())[0].id


def placement(database: Database, job_id: str, attempt: int = 1):
    with database.read() as session:
        return find_placement(session, job_id, attempt)


def waiting(database: Database, job_id: str):
    with database.read() as session:
        job = get_job(session, job_id)
        return waiting_for(job, read_queue(session, [job]))


def pilot_starts(database: Database, job_id: str, slurm_id: str, attempt: int = 1) -> bool:
    with database.write() as session:
        return start_pilot(
            session, job_id, attempt, slurm_id=slurm_id, worker_id=f"pilot-{slurm_id}"
        )


def pilot_claims(database: Database, job_id: str, slurm_id: str):
    with database.write() as session:
        offer = Offer(where="slurm", job_id=job_id)
        return claim_next(session, f"pilot-{slurm_id}", offer)


def test_a_queued_job_is_submitted_once_with_the_resources_of_its_spec(
    database, provisioner, cluster
):
    job_id = put(
        database, gpus=2, memory="16G", time_limit="1-02:00:00", extra={"partition": "gpu"}
    )
    local = put(database, where="local")
    for _ in range(3):
        provisioner.provision()
    (job,) = cluster.jobs.values()
    assert job["name"] == f"babylm-{job_id}-1"
    asked = {name: job["options"][name] for name in ("gres", "mem", "time", "partition", "signal")}
    assert asked == {
        "gres": "gpu:2",
        "mem": "16384M",
        "time": "1560",
        "partition": "gpu",
        "signal": "B:TERM@90",
    }
    assert "no-requeue" in job["options"]
    assert job["script"].startswith("#!/bin/bash")
    assert job["script"].splitlines()[-1].startswith("exec ")
    assert f"--job {job_id} --attempt 1 --exit-when-idle 30" in job["script"]
    assert placement(database, local) is None


def test_the_time_limit_is_the_specs_the_templates_or_the_estimates(settings, tmp_path):
    """Checks each source. A run that is longer than the limit in the settings gets that limit."""
    write_sample(tmp_path / "data", target_bytes=20_000)
    settings = settings.model_copy(update={"data_dir": tmp_path / "data"})

    def minutes(template: str = "#!/bin/bash\n", rate: float = 1e12, **body) -> int | None:
        given = {"preset": "sample"} | body
        spec = JobSpec.model_validate(given).resolve()
        rates = {"cpu": rate, "cuda": rate}
        return time_limit_minutes(spec, settings=settings, template=template, rates=rates)

    of_a_fast_node = minutes()
    assert of_a_fast_node == 31  # half an hour and a training of seconds, in whole minutes
    assert minutes(rate=1e8) > 2 * of_a_fast_node
    assert minutes(rate=1.0) == 24 * 60
    assert minutes(resources={"time_limit": 3601}) == 61
    assert minutes("#!/bin/bash\n#SBATCH --time=8:00:00\n") is None
    assert minutes("#!/bin/bash\n##SBATCH --time=8:00:00\n") == of_a_fast_node
    assert minutes("#!/bin/bash\n#SBATCH -t 100\n", resources={"time_limit": 7200}) == 120
    assert minutes(data={"dataset": "missing", "validation": "sample_dev"}) is None


def test_a_waiting_job_shows_the_reason_of_slurm(database, provisioner, cluster):
    job_id = put(database)
    assert waiting(database, job_id).what == "a worker"
    assert "no provisioner" in waiting(database, job_id).detail
    provisioner.provision()
    start = (datetime.now(UTC) + timedelta(minutes=5)).replace(microsecond=0)
    cluster.set("4711", start=start.strftime("%Y-%m-%dT%H:%M:%S"))
    provisioner.provision()
    said = waiting(database, job_id)
    assert said.detail.startswith("Slurm job 4711, waiting for Priority, expected start ")
    assert start.strftime("%H:%M UTC") in said.detail
    assert said.slurm == {
        "job_id": "4711",
        "state": "PENDING",
        "reason": "Priority",
        "expected_start_at": start,
    }


def test_no_credential_is_in_the_environment_or_the_script_of_a_slurm_job(
    database, provisioner, cluster
):
    put(database)
    provisioner.provision()
    (job,) = cluster.jobs.values()
    assert "secret" not in json.dumps(job)
    assert not [name for name in job["environment"] if name.startswith("BABYLM_")]


def test_the_settings_file_is_readable_by_its_owner_only(tmp_path):
    path = tmp_path / "slurm" / "settings.env"
    secret = r"postgresql+psycopg://babylm:it's \$ecret #1 \\x@db/babylm"
    given = Settings(_env_file=None, database_url=secret, runs_dir=tmp_path, api_key="key")
    write_private_settings(path, given)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    read = load_private_settings(path)
    assert (read.database_url, read.runs_dir) == (secret, tmp_path)
    assert read.api_key is None
    path.chmod(0o640)
    with pytest.raises(SettingsInvalid, match="0640"):
        load_private_settings(path)


def test_a_refused_job_stays_queued_with_slurms_message_and_is_retried(database, settings, cluster):
    job_id = put(database)
    cluster.plan("sbatch", "refuse")
    patient = Provisioner(database, settings, cluster.slurm())
    for _ in range(2):
        patient.provision()
    assert cluster.calls("sbatch") == 1
    assert "invalid partition specified: nowhere" in waiting(database, job_id).detail
    with database.read() as session:
        assert get_job(session, job_id).status == "queued"
    Provisioner(database, settings, cluster.slurm(), pace=AT_ONCE).provision()
    assert [job["state"] for job in cluster.jobs.values()] == ["PENDING"]
    assert placement(database, job_id).tries == 2


def test_two_provisioners_at_once_submit_one_pilot_for_each_job(database, settings, cluster):
    jobs = [put(database) for _ in range(5)]
    both = [Provisioner(database, settings, cluster.slurm()) for _ in range(2)]
    threads = [threading.Thread(target=each.provision) for each in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = Counter(job["name"] for job in cluster.jobs.values())
    assert names == {f"babylm-{job_id}-1": 1 for job_id in jobs}


class Killed(Exception):
    """Simulates the death of the provisioner."""


class DyingSlurm(Slurm):
    """Dies before or after it has called sbatch."""

    def __init__(self, *, after: bool, **options) -> None:
        super().__init__(**options)
        self.after = after

    def submit(self, options, script):
        if self.after:
            super().submit(options, script)
        raise Killed


@pytest.mark.parametrize("after", [False, True])
def test_killed_between_row_and_sbatch_or_after_it_there_is_one_pilot(
    database, settings, cluster, after
):
    job_id = put(database)
    dying = DyingSlurm(after=after, timeout_seconds=20.0, environment=cluster.environment)
    with pytest.raises(Killed):
        Provisioner(database, settings, dying).provision()
    patient = Provisioner(database, settings, cluster.slurm())
    patient.provision()
    assert len(cluster.jobs) == after  # a submission without an answer may still appear
    for _ in range(2):
        Provisioner(database, settings, cluster.slurm(), pace=AT_ONCE).provision()
    assert len(cluster.jobs) == 1
    assert placement(database, job_id).slurm_id == "4711"


@pytest.mark.parametrize("fault", ["hang", "babble", "fail", "torn", "empty"])
def test_an_unclear_answer_of_squeue_causes_no_second_submission(
    database, settings, cluster, fault
):
    put(database)
    provisioner = Provisioner(database, settings, cluster.slurm(5.0), pace=AT_ONCE)
    provisioner.provision()
    cluster.plan("squeue", fault, fault)
    for _ in range(3):
        provisioner.provision()
    assert len(cluster.jobs) == 1


@pytest.mark.parametrize("fault", ["hang_accepted", "babble_accepted", "timed_out_accepted"])
def test_an_unclear_answer_of_sbatch_is_resolved_by_the_job_name(
    database, settings, cluster, fault
):
    job_id = put(database)
    cluster.plan("sbatch", fault)
    provisioner = Provisioner(database, settings, cluster.slurm(5.0), pace=AT_ONCE)
    for _ in range(2):
        provisioner.provision()
    assert len(cluster.jobs) == 1
    assert placement(database, job_id).slurm_id == "4711"


def test_cancel_before_the_claim_ends_the_pilot(database, provisioner, cluster):
    job_id = put(database)
    provisioner.provision()
    with database.write() as session:
        request_cancel(session, job_id)
    for _ in range(3):
        provisioner.provision()
    assert cluster.jobs["4711"]["state"] == "CANCELLED"
    assert cluster.calls("sbatch") == 1
    with database.read() as session:
        assert open_placements(session) == []


def test_a_job_that_was_paused_and_resumed_gets_a_pilot_again(database, provisioner, cluster):
    job_id = put(database)
    provisioner.provision()
    with database.write() as session:
        request_pause(session, job_id)
    for _ in range(2):
        provisioner.provision()
    with database.write() as session:
        resume(session, job_id)
    for _ in range(2):
        provisioner.provision()
    assert [job["state"] for job in cluster.jobs.values()] == ["CANCELLED", "PENDING"]
    assert placement(database, job_id).slurm_id == "4712"


def test_the_state_in_slurm_does_not_affect_a_job_that_a_pilot_holds(
    database, provisioner, cluster
):
    job_id = put(database)
    provisioner.provision()
    assert pilot_starts(database, job_id, "4711")
    assert pilot_claims(database, job_id, "4711").attempt == 1
    for state in ("NODE_FAIL", "COMPLETED", "CANCELLED"):
        cluster.set("4711", state=state)
        provisioner.provision()
    with database.read() as session:
        assert get_job(session, job_id).status == "running"
    assert cluster.calls("sbatch") == 1
    with database.write() as session:
        finish(session, job_id, 1, "succeeded")
    provisioner.provision()
    with database.read() as session:
        assert open_placements(session) == []


def test_of_two_slurm_jobs_for_one_placement_the_second_claims_nothing(
    database, provisioner, cluster
):
    job_id = put(database)
    provisioner.provision()
    cluster.set("4711", state="COMPLETED")  # a wrong answer: the job is still pending
    for _ in range(2):
        provisioner.provision()
    assert set(cluster.jobs) == {"4711", "4712"}
    assert not pilot_starts(database, job_id, "4711")
    assert pilot_starts(database, job_id, "4712")
    cluster.set("4711", state="PENDING")
    provisioner.provision()
    assert cluster.jobs["4711"]["state"] == "CANCELLED"


def test_a_requeued_attempt_gets_its_own_pilot(database, provisioner, cluster):
    job_id = put(database)
    provisioner.provision()
    assert pilot_starts(database, job_id, "4711")
    assert pilot_claims(database, job_id, "4711")
    with database.write() as session:
        requeue(session, job_id, 1, reason="worker_shutdown")
    cluster.set("4711", state="TIMEOUT")
    provisioner.provision()
    assert [job["name"] for job in cluster.jobs.values()] == [
        f"babylm-{job_id}-1",
        f"babylm-{job_id}-2",
    ]


def test_no_pilot_is_submitted_for_a_job_that_a_free_worker_takes(database, provisioner, cluster):
    for _ in range(3):
        put(database, where="any")
    with database.write() as session:
        report_worker(session, worker_row("host-train-1", Offer()))
    provisioner.provision()
    assert len(cluster.jobs) == 2


def test_only_the_pilots_of_the_jobs_of_a_page_are_read(database):
    with database.write() as session:
        report_worker(session, worker_row("ordinary", Offer()))
        for number in range(3):
            offer = Offer(where="slurm", job_id=f"job-{number}")
            report_worker(session, worker_row(f"pilot-{number}", offer))
    with database.read() as session:
        assert [each.id for each in live_train_workers(session)] == ["ordinary"]
        found = live_train_workers(session, pilots_of=["job-2", "job-7"])
    assert {each.id for each in found} == {"ordinary", "pilot-2"}


def test_a_template_must_end_with_exec(tmp_path):
    template = tmp_path / "pilot.sh"
    template.write_text("#!/bin/bash\npython -m worker {arguments}\n")
    with pytest.raises(SlurmError, match="must be `exec"):
        read_template(template)
    template.write_text("#!/bin/bash\nmodule load cuda\nexec babylm worker {arguments}\n# end\n")
    assert "module load" in read_template(template)


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
                "BABYLM_TRY_SLURM" not in os.environ, reason="minutes; BABYLM_TRY_SLURM is not set"
            ),
        ),
    ],
)
def test_jobs_under_faults_of_slurm_all_end_once(
    database, settings, tmp_path, num_jobs, num_faults
):
    """A real provisioner and database, and a process for each call."""
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
    """Actions of users; every paused job is resumed."""
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
