"""A worker process whose broker does not answer because it is stopped with SIGSTOP."""

import os
import signal
import subprocess
import time

import pytest

from core.process.program import python_command
from jobs.database import upgrade
from jobs.settings import Settings
from tests.waiting import wait_for

pytestmark = pytest.mark.system

FROZEN_SECONDS = 60.0
"""Maximum seconds until the worker has ended. Celery alone would wait for a frozen broker for
minutes."""


@pytest.mark.parametrize("frozen", ["from the start", "later"])
def test_a_worker_shuts_down_although_its_broker_is_frozen(frozen, broker, tmp_path):
    server, url = broker
    runs = tmp_path / "runs"
    upgrade(Settings(runs_dir=runs, _env_file=None).database_url)
    log = tmp_path / "log"
    environment = os.environ | {"BABYLM_RUNS_DIR": str(runs), "BABYLM_REDIS_URL": url}
    if frozen == "from the start":
        server.send_signal(signal.SIGSTOP)
    with log.open("wb") as output:
        worker = subprocess.Popen(
            python_command("worker", "--queue", "train"),
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(
            lambda: "[queues]" in log.read_text(), what=log.read_text
        )  # Celery logs this when it begins to connect
        if frozen == "later":
            time.sleep(1.0)
            server.send_signal(signal.SIGSTOP)
        time.sleep(3.0)  # Celery waits for an answer by now
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(FROZEN_SECONDS) == 0
    finally:
        worker.kill()
        worker.wait()
    assert "has ended" in log.read_text()
