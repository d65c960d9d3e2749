"""The provisioner submits jobs to programs that simulate Slurm and its faults."""

import json
import stat
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from core.sample import write_sample
from core.spec.job import STORED, JobSpec
from jobs.attempts import finish, requeue
from jobs.database import Database
from jobs.errors import SettingsInvalid, SlurmError
from jobs.placements import find_placement, open_placements
from jobs.private_settings import load_private_settings, write_private_settings
from jobs.resources import Offer
from jobs.settings import Settings
from jobs.slurm.provisioner import Provisioner
from jobs.slurm.script import read_template
from jobs.slurm.time_limit import time_limit_minutes
from jobs.store import create_job, get_job, request_cancel, request_pause, resume
from jobs.waiting import LIVE_FOR_QUEUE, read_queue, waiting_for
from jobs.workers import live_train_workers, report_worker
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


@pytest.fixture
def cluster(tmp_path):
    return Cluster(tmp_path / "slurm")


@pytest.fixture
def provisioner(database, settings, cluster):
    return Provisioner(database, settings, cluster.slurm(), pace=AT_ONCE)


def placement(database: Database, job_id: str, attempt: int = 1):
    with database.read() as session:
        return find_placement(session, job_id, attempt)


def waiting(database: Database, job_id: str):
    with database.read() as session:
        job = get_job(session, job_id)
        return waiting_for(job, read_queue(session, [job]))


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


def test_a_job_that_was_accepted_before_a_rule_was_added_gets_a_pilot(
    database, provisioner, cluster
):
    body = {
        "model": {"max_position_embeddings": 64},
        "training": {"seq_length": 128},
        "resources": {"where": "slurm"},
    }
    with pytest.raises(ValidationError, match="max_position_embeddings"):
        JobSpec.model_validate(body)
    with database.write() as session:
        job, _ = create_job(session, JobSpec.model_validate(body, context=STORED).resolve())
        job_id = job.id
    provisioner.provision()
    assert [each["name"] for each in cluster.jobs.values()] == [f"babylm-{job_id}-1"]


def test_the_time_limit_is_the_specs_the_templates_or_the_estimates(settings, tmp_path):
    """Only a limit that follows from the estimate is capped by the limit in the settings."""
    write_sample(tmp_path / "data", target_bytes=20_000)
    settings = settings.model_copy(update={"data_dir": tmp_path / "data"})

    def minutes(template: str = "#!/bin/bash\n", rate: float = 1e12, **body) -> int | None:
        given = {"preset": "sample"} | body
        spec = JobSpec.model_validate(given).resolve()
        rates = {"cpu": rate, "cuda": rate}
        return time_limit_minutes(spec, settings=settings, template=template, rates=rates)

    of_a_fast_node = minutes()
    assert of_a_fast_node == 31  # half an hour plus some seconds of training, rounded up
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


@pytest.mark.parametrize("after", [False, True])
def test_a_provisioner_killed_just_before_or_after_sbatch_leaves_one_pilot(
    database, settings, cluster, after
):
    job_id = put(database)
    dying = DyingSlurm(after=after, timeout_seconds=20.0, environment=cluster.environment)
    with pytest.raises(Killed):
        Provisioner(database, settings, dying).provision()
    patient = Provisioner(database, settings, cluster.slurm())
    patient.provision()
    assert len(cluster.jobs) == after  # not repeated yet: sbatch may still have an effect
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


def test_of_two_slurm_jobs_for_one_placement_only_the_one_in_its_row_may_start(
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
        found = session.exec(LIVE_FOR_QUEUE, params={"pilots_of": ["job-2", "job-7"]}).all()
    assert {each.id for each in found} == {"ordinary", "pilot-2"}


def test_a_template_must_end_with_exec(tmp_path):
    template = tmp_path / "pilot.sh"
    template.write_text("#!/bin/bash\npython -m worker {arguments}\n")
    with pytest.raises(SlurmError, match="must be `exec"):
        read_template(template)
    template.write_text("#!/bin/bash\nmodule load cuda\nexec babylm worker {arguments}\n# end\n")
    assert "module load" in read_template(template)
