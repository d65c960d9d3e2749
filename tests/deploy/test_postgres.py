"""The whole service on Postgres, if BABYLM_TEST_POSTGRES_URL names a server."""

import os
import signal

import pytest

from core.sample import write_sample
from tests.jobs.conftest import empty_database
from tests.system.service import running_service, tiny_spec

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        "BABYLM_TEST_POSTGRES_URL" not in os.environ,
        reason="BABYLM_TEST_POSTGRES_URL names no Postgres server",
    ),
]


def test_a_job_succeeds_and_survives_the_death_of_its_training_process(tmp_path):
    write_sample(tmp_path / "data")
    with (
        empty_database(tmp_path) as url,
        running_service(tmp_path, BABYLM_DATABASE_URL=url) as service,
    ):
        job_id = service.submit(tiny_spec(max_steps=60))["id"]
        service.wait_for_step(job_id, 15)
        service.child(job_id).send_signal(signal.SIGKILL)
        job = service.wait(job_id)
        assert (job["status"], job["attempt"]) == ("succeeded", 2)
        assert sorted(service.losses(job_id)) == list(range(1, 61))
        assert service.http.get("/readyz").json()["checks"]["database"] == "ok"
        assert not list((tmp_path / "runs").glob("*.sqlite3"))
