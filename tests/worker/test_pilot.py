"""Pilots: workers that run one job and end by themselves."""

import os
import signal
import subprocess
import sys
import time

import pytest

from core.process.program import python_command
from core.sample import write_sample
from core.spec.job import JobSpec
from jobs.attempts import claim_next
from jobs.database import Database, upgrade
from jobs.errors import PlacementTaken
from jobs.placements import begin_placement, enter_slurm_id, find_placement
from jobs.private_settings import write_private_settings
from jobs.resources import Offer, needs_of, serves
from jobs.settings import Settings
from jobs.store import create_job, get_job
from worker.devices import Device
from worker.offer import make_offer
from worker.pilot import Pilot
from worker.runtime import Commands, Worker

DEADLINE = 90.0
QUICK = [sys.executable, "-c", "pass"]
SIGNALLED = """
import os, signal, sys, threading
from worker import __main__ as program

class Event(threading.Event):
    def wait(self, timeout=None):
        if threading.current_thread() is threading.main_thread():
            with self._cond:
                os.kill(os.getpid(), signal.SIGTERM)
        return super().wait(timeout)

class Worker(program.Worker):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.shutdown.__class__ = Event

program.Worker = Worker
sys.exit(program.main(sys.argv[1:]))
"""
"""A worker that gets SIGTERM while its main thread holds the lock of the event for which it waits.
"""


@pytest.fixture
def settings(tmp_path):
    made = Settings(
        _env_file=None,
        data_dir=tmp_path / "data",
        runs_dir=tmp_path / "runs",
        poll_seconds=0.05,
        tick_seconds=0.02,
    )
    upgrade(made.database_url)
    return made


@pytest.fixture
def database(settings):
    database = Database(settings.database_url)
    yield database
    database.dispose()


def put(database, **body) -> str:
    spec = JobSpec.model_validate({"preset": "sample"} | body).resolve()
    with database.write() as session:
        return create_job(session, spec)[0].id


def job(database, job_id):
    with database.read() as session:
        return get_job(session, job_id)


def start(settings, pilot: Pilot, command=QUICK) -> Worker:
    worker = Worker(settings, "train", Commands(lambda _: command, QUICK), slots=None, pilot=pilot)
    worker.start()
    return worker


def test_a_pilot_runs_only_its_job_and_ends_when_it_is_done(settings, database):
    other, mine = put(database), put(database)
    worker = start(settings, Pilot(mine, exit_when_idle_seconds=600.0))
    assert worker.shutdown.wait(DEADLINE)  # at once, because the job has ended
    worker.stop()
    assert job(database, mine).status == "succeeded"
    assert job(database, other).status == "queued"


def test_a_pilot_without_work_ends_after_the_idle_time(settings, database):
    mine = put(database)
    with database.write() as session:
        claim_next(session, "another worker")
    worker = start(settings, Pilot(mine, exit_when_idle_seconds=0.3))
    assert worker.shutdown.wait(DEADLINE)
    worker.stop()
    assert job(database, mine).worker_id == "another worker"


def test_the_end_of_a_time_limit_is_a_shutdown_that_is_not_counted(settings, database, tmp_path):
    """The pilot replaces the batch shell (`exec`), so it receives the SIGTERM that Slurm sends.

    The job has 10,000 epochs, so on any machine it still runs when the signal arrives."""
    write_sample(settings.data_dir, target_bytes=60_000)
    mine = put(database, training={"epochs": 10_000})
    secrets = tmp_path / "settings.env"
    write_private_settings(secrets, settings)
    environment = {name: text for name, text in os.environ.items() if "BABYLM" not in name}
    arguments = ["--job", mine, "--exit-when-idle", "30", "--settings-file", str(secrets)]
    with subprocess.Popen(
        python_command("worker", *arguments, "--grace-seconds", "15"),
        env=environment | {"SLURM_JOB_ID": "17"},
        stderr=subprocess.DEVNULL,
    ) as pilot:
        try:
            deadline = time.monotonic() + DEADLINE
            while job(database, mine).status != "running":
                assert time.monotonic() < deadline
                time.sleep(0.02)
            pilot.send_signal(signal.SIGTERM)
            assert pilot.wait(DEADLINE) == 0
        finally:
            pilot.kill()
    after = job(database, mine)
    assert (after.status, after.attempt, after.attempts_without_checkpoint) == ("queued", 1, 0)


def test_a_signal_at_the_moment_when_the_worker_begins_to_wait_ends_it(settings, tmp_path):
    secrets = tmp_path / "settings.env"
    write_private_settings(secrets, settings)
    arguments = ["--job", "0" * 32, "--exit-when-idle", "600", "--settings-file", str(secrets)]
    with subprocess.Popen(
        [sys.executable, "-c", SIGNALLED, *arguments], stderr=subprocess.DEVNULL
    ) as pilot:
        try:
            assert pilot.wait(DEADLINE) == 0
        finally:
            pilot.kill()


def test_a_second_slurm_job_of_one_placement_ends_before_it_claims(settings, database):
    mine = put(database)
    with database.write() as session:
        placement = begin_placement(session, mine, 1)
        assert enter_slurm_id(session, placement, "4711")
    with pytest.raises(PlacementTaken, match="Slurm job 4712"):
        start(settings, Pilot(mine, 600.0, attempt=1, slurm_id="4712"))
    assert job(database, mine).status == "queued"


def test_a_pilot_records_its_slurm_id_if_the_answer_of_sbatch_was_lost(settings, database):
    mine = put(database)
    with database.write() as session:
        begin_placement(session, mine, 1)
    worker = start(settings, Pilot(mine, 600.0, attempt=1, slurm_id="4711"))
    assert worker.shutdown.wait(DEADLINE)
    worker.stop()
    with database.read() as session:
        placement = find_placement(session, mine, 1)
    assert (placement.slurm_id, placement.worker_id) == ("4711", worker.id)
    assert job(database, mine).worker_id == worker.id


def test_a_pilot_that_slurm_started_serves_jobs_for_slurm(settings, database):
    mine = put(database, resources={"where": "slurm"})
    worker = start(settings, Pilot(mine, 600.0, slurm_id="4711"))
    assert worker.shutdown.wait(DEADLINE)
    worker.stop()
    assert job(database, mine).status == "succeeded"


CUDA_SMALL = {"index": 0, "kind": "cuda", "name": "GPU", "memory_bytes": 8 << 30}


def offer_of_gpus(count: int, slots: int = 1) -> Offer:
    devices: list[Device] = [CUDA_SMALL | {"index": index} for index in range(count)]
    return make_offer(devices, slots, None)


@pytest.mark.parametrize(
    ("resources", "training", "offer", "is_served"),
    [
        ({}, {}, Offer(), True),
        ({}, {"device": "cuda"}, Offer(), False),
        ({}, {"device": "cuda"}, offer_of_gpus(1), True),
        ({"gpus": 1}, {}, Offer(), False),
        ({"gpus": 2}, {}, offer_of_gpus(1), False),
        ({"gpus": 2}, {}, offer_of_gpus(4, slots=2), True),
        ({}, {"num_devices": 2, "batch_size": 8}, offer_of_gpus(1), False),
        ({}, {"num_devices": 2, "batch_size": 8}, Offer(), True),
        ({"where": "slurm"}, {}, Offer(), False),
        ({"where": "local"}, {}, Offer(where="slurm"), False),
        ({"memory": "8G"}, {}, Offer(memory_bytes=4 << 30), False),
        ({"memory": "8G"}, {}, Offer(memory_bytes=8 << 30), True),
        ({}, {}, Offer(device_memory_bytes=1 << 10), False),
    ],
)
def test_a_worker_claims_the_jobs_that_it_can_run_and_no_other(
    database, resources, training, offer, is_served
):
    body = {"resources": resources, "training": training}
    mine = put(database, **body)
    assert serves(offer, job(database, mine)) == is_served
    with database.write() as session:
        assert (claim_next(session, "worker", offer) is not None) == is_served


def test_a_job_that_a_worker_cannot_run_does_not_block_the_next(database):
    put(database, resources={"gpus": 1})
    second = put(database)
    with database.write() as session:
        assert claim_next(session, "worker", Offer()).id == second


def test_needs_follow_the_devices_of_the_spec():
    spec = JobSpec.model_validate({"preset": "sample", "training": {"device": "cpu"}}).resolve()
    assert (needs_of(spec).num_gpus, needs_of(spec).needs_gpu) == (0, False)


def test_workers_of_another_host_do_not_look_dead(settings, database):
    """Simulates a shared file system on which locks of other hosts are not visible."""
    mine = put(database, resources={"gpus": 1})
    with database.write() as session:
        claim_next(session, "other-host-train-1")
    folder = settings.workers_folder / "boot-id-of-the-other-host"
    folder.mkdir(parents=True)
    (folder / "other-host-train-1").touch()
    worker = Worker(settings, "train", Commands(lambda _: QUICK, QUICK), slots=None)
    worker.start()
    worker.stop()
    assert (job(database, mine).status, job(database, mine).worker_id) == (
        "running",
        "other-host-train-1",
    )
    assert (folder / "other-host-train-1").exists()
