"""Jobs on a real Slurm of two nodes with a real Postgres, if BABYLM_TRY_SLURM is set.

The tests take minutes. They download Debian's packages with `apt-get download`, or use packages
that `tests.deploy.slurm.cluster.packages` has already unpacked into BABYLM_SLURM_PACKAGES.
"""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaos.postgres import Server
from core.process.program import python_command
from core.sample import write_sample
from core.spec.job import JobSpec
from core.storage.file_hashes import hash_file
from jobs.database import Database
from jobs.history import events_after
from jobs.placements import begin_placement, find_placement, open_placements
from jobs.private_settings import write_private_settings
from jobs.recovery import Sweeper
from jobs.settings import Settings
from jobs.slurm.client import Slurm
from jobs.slurm.provisioner import SETTINGS_FILE, Pace, Provisioner
from jobs.slurm.script import WARNING_SECONDS, slurm_folder
from jobs.states import FINAL
from jobs.store import create_job, get_job, request_cancel
from jobs.tables import Job, Placement
from jobs.waiting import read_queue, waiting_for
from tests.deploy.slurm.cluster import Cluster, packages, running_cluster
from tests.postgres import postgres_database
from tests.system.service import tiny_spec

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.timeout(2400),
    pytest.mark.skipif("BABYLM_TRY_SLURM" not in os.environ, reason="BABYLM_TRY_SLURM is not set"),
]

DEADLINE = 900.0
BRISK = Pace(settle_seconds=5.0, retry_seconds=1.0)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    given = os.environ.get("BABYLM_SLURM_PACKAGES")
    root = packages(Path(given) if given else tmp_path_factory.mktemp("packages"))
    with running_cluster(root, tmp_path_factory.mktemp("slurm") / "cluster") as cluster:
        yield cluster


class Site:
    """A service without an API: a database, a provisioner and a sweeper that the test calls."""

    def __init__(self, cluster: Cluster, server: Server, url: str, folder: Path) -> None:
        self.cluster, self.server = cluster, server
        self.settings = Settings(
            _env_file=None,
            database_url=url,
            data_dir=folder / "data",
            runs_dir=folder / "runs",
            lease_seconds=15.0,
        )
        write_sample(self.settings.data_dir, target_bytes=150_000)
        write_private_settings(slurm_folder(self.settings) / SETTINGS_FILE, self.settings)
        self.database = Database(url)
        self.provisioner = self.new_provisioner()
        self.sweeper = Sweeper(self.database, notifier=None, lease_seconds=15.0)

    def new_provisioner(self) -> Provisioner:
        slurm = Slurm(timeout_seconds=20.0, environment=self.cluster.environment)
        return Provisioner(self.database, self.settings, slurm, pace=BRISK)

    def submit(self, *, resources: dict[str, Any] | None = None, **training: Any) -> str:
        body = tiny_spec(eval_steps=1000, save_steps=20, precision="fp32", device="cpu", **training)
        body["resources"] = {"where": "slurm", "memory": "1G"} | (resources or {})
        spec = JobSpec.model_validate(body).resolve()
        with self.database.write() as session:
            return create_job(session, spec)[0].id

    def cancel(self, job_id: str) -> None:
        with self.database.write() as session:
            request_cancel(session, job_id)

    def job(self, job_id: str) -> Job:
        with self.database.read() as session:
            return get_job(session, job_id)

    def placement(self, job_id: str, attempt: int = 1) -> Placement | None:
        with self.database.read() as session:
            return find_placement(session, job_id, attempt)

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Provisions and sweeps until the condition holds."""
        deadline = time.monotonic() + DEADLINE
        while not (value := condition()):
            assert time.monotonic() < deadline, f"{what}\n{self.report()}"
            self.provisioner.provision()
            self.sweeper.reap()
            time.sleep(0.5)
        return value

    def until_ended(self, *job_ids: str) -> None:
        self.until(lambda: all(self.job(each).status in FINAL for each in job_ids), "ended")

    def until_step(self, job_id: str, step: int) -> None:
        self.until(lambda: (self.job(job_id).step or 0) >= step, f"step {step}")

    def until_checkpoint(self, job_id: str) -> None:
        self.until(lambda: self.job(job_id).checkpoint_step, "a checkpoint")

    def events_are_whole(self, job_id: str) -> bool:
        with self.database.read() as session:
            seqs = [event.seq for event in events_after(session, job_id, limit=100_000)]
        return seqs == list(range(1, len(seqs) + 1))

    def losses(self, job_id: str) -> set[int]:
        with self.database.read() as session:
            events = events_after(session, job_id, limit=100_000, types=("metrics",))
        return {event.data["step"] for event in events}

    def trainer(self, job_id: str) -> psutil.Process:
        folder = str(self.settings.job_folder(job_id).resolve())
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if "core.run" in words and folder in words:
                return process
        raise AssertionError("no training process")

    def shorten_time_limit(self, job_id: str) -> None:
        """Sets a time limit less than `WARNING_SECONDS` away, so that Slurm sends its signal."""
        slurm_id = self.placement(job_id).slurm_id

        def used() -> int:
            text = self.cluster.call("squeue", f"--jobs={slurm_id}", "--noheader", "--format=%M")
            hours, minutes, seconds = ("0:" * 2 + text.strip()).split(":")[-3:]
            return 3600 * int(hours) + 60 * int(minutes) + int(seconds)

        self.until(lambda: used() % 60 > 60 - (WARNING_SECONDS - 60), "the second half minute")
        limit = used() // 60 + 2
        self.cluster.call("scontrol", "update", f"JobId={slurm_id}", f"TimeLimit={limit}")

    def weights(self, job_id: str) -> str:
        folder = self.settings.job_folder(job_id) / "checkpoints" / "last"
        return hash_file(folder / "model.safetensors")

    def undisturbed_weights(self, job_id: str) -> str:
        """Trains the same spec without the service; returns the hash of the weights."""
        folder = self.settings.runs_dir / "undisturbed"
        folder.mkdir()
        spec = JobSpec.model_validate(self.job(job_id).spec)
        (folder / "spec.json").write_text(spec.model_dump_json())
        command = python_command("core.run", str(folder), "--cache-dir")
        command += [str(folder / "cache"), "--data-dir", str(self.settings.data_dir)]
        subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE)
        return hash_file(folder / "checkpoints" / "last" / "model.safetensors")

    def report(self) -> str:
        with self.database.read() as session:
            rows = [(p.placement.state, p.placement.reason) for p in open_placements(session)]
        logs = [log.read_text()[-1500:] for log in slurm_folder(self.settings).glob("*.log")]
        queue = self.cluster.call("squeue", "--states=all", check=False)
        return "\n".join([repr(rows), queue, *logs])


@pytest.fixture
def site(cluster, postgres_server, tmp_path):
    with postgres_database(postgres_server.url, migrated=True) as url:
        site = Site(cluster, postgres_server, url, tmp_path)
        yield site
        cluster.call("scancel", f"--user={os.getuid()}", check=False)
        site.database.dispose()


def test_from_submit_to_succeeded(site):
    job_id = site.submit()
    site.until_ended(job_id)
    job = site.job(job_id)
    assert (job.status, job.attempt) == ("succeeded", 1)
    assert site.events_are_whole(job_id)
    site.until(lambda: site.placement(job_id).is_open is False, "the placement is closed")


def test_three_seeds_over_two_nodes(site):
    jobs = [site.submit(seed=seed) for seed in range(3)]
    nodes = set()

    def look() -> bool:
        nodes.update(site.cluster.nodes_in_use())
        return all(site.job(each).status in FINAL for each in jobs)

    site.until(look, "ended")
    assert {site.job(each).status for each in jobs} == {"succeeded"}
    assert nodes == {"n1", "n2"}


def test_the_time_limit_is_no_failure_and_does_not_change_the_weights(site):
    job_id = site.submit(resources={"time_limit": 7200}, max_steps=8000, logging_steps=50)
    site.until_checkpoint(job_id)
    site.shorten_time_limit(job_id)
    site.until(lambda: site.job(job_id).attempt == 2, "the second attempt")
    assert site.job(job_id).attempts_without_checkpoint == 0
    assert site.job(job_id).checkpoint_step
    site.until_ended(job_id)
    assert site.job(job_id).status == "succeeded"
    assert site.weights(job_id) == site.undisturbed_weights(job_id)


def test_cancel_before_the_claim_and_while_running(site):
    whole_node = {"extra": {"nodelist": "n1", "cpus-per-task": "2"}}
    running = site.submit(resources=whole_node, max_steps=20_000)
    site.until_step(running, 5)
    held = site.submit(resources=whole_node)
    site.until(lambda: site.placement(held) and site.placement(held).slurm_id, "held in Slurm")
    for job_id in (held, running):
        site.cancel(job_id)
    site.until_ended(held, running)
    assert site.job(held).attempt == 0
    assert site.job(running).status == "cancelled"
    for job_id in (held, running):
        site.until(lambda: not site.placement(job_id).is_open, "nothing is left in Slurm")  # noqa: B023


def test_a_killed_pilot_costs_an_attempt_but_no_work(site):
    job_id = site.submit(max_steps=3000)
    site.until_checkpoint(job_id)
    psutil.Process(site.trainer(job_id).ppid()).kill()
    site.until_ended(job_id)
    assert (site.job(job_id).status, site.job(job_id).attempt) == ("succeeded", 2)
    assert site.events_are_whole(job_id)


def test_slurmd_killed_starts_nothing_twice(site):
    job_id = site.submit(max_steps=1500)
    site.until_step(job_id, 5)
    (node,) = site.cluster.nodes_in_use()
    site.cluster.kill(node)
    try:
        site.until_ended(job_id)
        assert (site.job(job_id).status, site.job(job_id).attempt) == ("succeeded", 1)
        assert site.placement(job_id, 2) is None
    finally:
        site.cluster.start_node(node)
        site.cluster.call("scancel", f"--user={os.getuid()}", check=False)
        site.cluster.wait_until_idle()


def test_a_controller_that_is_down_for_a_minute_loses_no_lease(site):
    job_id = site.submit(max_steps=100_000)
    site.until_step(job_id, 5)
    site.cluster.kill("slurmctld")
    began, before = time.monotonic(), site.job(job_id)
    try:
        site.until(lambda: time.monotonic() - began > 60, "a minute")
        after = site.job(job_id)
    finally:
        site.cluster.start_controller()
    assert (after.status, after.attempt) == ("running", 1)
    assert after.step > before.step
    site.cancel(job_id)
    site.until_ended(job_id)
    assert (site.job(job_id).status, site.job(job_id).attempt) == ("cancelled", 1)


def test_a_provisioner_killed_between_row_and_sbatch(site):
    job_id = site.submit()
    with site.database.write() as session:
        begin_placement(session, job_id, 1)
    site.until_ended(job_id)
    assert (site.job(job_id).status, site.placement(job_id).tries) == ("succeeded", 2)


def test_two_provisioners_submit_one_pilot(site):
    job_id = site.submit()
    other = site.new_provisioner()

    def look() -> bool:
        other.provision()
        return site.job(job_id).status in FINAL

    site.until(look, "ended")
    names = site.cluster.call("squeue", "--states=all", "--noheader", "--format=%j").split()
    assert names.count(f"babylm-{job_id}-1") == 1
    assert site.job(job_id).attempt == 1


def test_a_refused_partition_leaves_the_job_queued_with_slurms_message(site):
    job_id = site.submit(resources={"extra": {"partition": "nowhere"}})
    site.until(lambda: site.placement(job_id) and site.placement(job_id).reason, "a refusal")
    with site.database.read() as session:
        job = get_job(session, job_id)
        waiting = waiting_for(job, read_queue(session, [job]))
    assert "invalid partition specified: nowhere" in waiting.detail
    assert site.job(job_id).status == "queued"


def test_postgres_restarted_ends_no_run(site):
    job_id = site.submit(max_steps=100_000)
    site.until_step(job_id, 5)
    site.server.stop()
    time.sleep(2.0)  # the length of the outage
    site.server.start()
    site.database.dispose()
    site.until_step(job_id, site.job(job_id).step + 10)
    site.cancel(job_id)
    site.until_ended(job_id)
    assert (site.job(job_id).status, site.job(job_id).attempt) == ("cancelled", 1)
    assert site.events_are_whole(job_id)
