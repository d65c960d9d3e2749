"""The commands in a directory with a file for every module that they might import."""

import json
import os
import signal
import subprocess
import sysconfig
import time
from pathlib import Path

import pytest

from babylm.demo import _run_module
from core.sample import write_sample
from jobs.database import upgrade
from jobs.settings import Settings
from tests.shadows import Shadows
from tests.system.service import running_service, tiny_spec
from tests.waiting import DEADLINE

pytestmark = pytest.mark.system
BABYLM = Path(sysconfig.get_path("scripts")) / "babylm"


@pytest.fixture
def shadows(tmp_path) -> Shadows:
    return Shadows(tmp_path / "shadows")


def babylm(shadows: Shadows, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BABYLM, *words], cwd=shadows.folder, capture_output=True, text=True, check=False
    )


def test_train_succeeds(shadows, tmp_path):
    write_sample(tmp_path / "data", target_bytes=60_000)
    spec = tiny_spec(max_steps=4, num_devices=2)
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    output = tmp_path / "run"
    done = babylm(
        shadows, "train", str(tmp_path / "spec.json"),
        "--output", str(output), "--data-dir", str(tmp_path / "data"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    assert (output / "checkpoints" / "last" / "model.safetensors").exists()
    assert shadows.imported() == []


def test_the_service_trains_and_writes_text(shadows, tmp_path):
    write_sample(tmp_path / "data", target_bytes=60_000)
    with running_service(tmp_path, program=[str(BABYLM)], cwd=shadows.folder) as service:
        job = service.submit(tiny_spec(max_steps=4))
        assert service.wait(job["id"])["status"] == "succeeded"
        path = f"/v1/jobs/{job['id']}/checkpoints/last/generate"
        answer = service.http.post(path, json={"max_new_tokens": 3})
        assert answer.status_code == 200, answer.text
    assert shadows.imported() == []


def test_a_worker_alone_starts(shadows, tmp_path, broker):
    _, redis_url = broker
    upgrade(Settings(runs_dir=tmp_path / "runs", _env_file=None).database_url)
    log = tmp_path / "log"
    environment = os.environ | {
        "BABYLM_RUNS_DIR": str(tmp_path / "runs"),
        "BABYLM_REDIS_URL": redis_url,
    }
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [BABYLM, "worker"], cwd=shadows.folder, env=environment, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + DEADLINE
        while "[queues]" not in log.read_text():  # Celery has imported what it needs
            assert worker.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(DEADLINE) == 0, log.read_text()
    finally:
        worker.kill()
        worker.wait()
    assert shadows.imported() == []


def test_the_programs_of_the_demo_run(shadows, tmp_path, monkeypatch):
    monkeypatch.chdir(shadows.folder)
    _run_module("core.sample", str(tmp_path / "data"))
    assert (tmp_path / "data" / "sample").is_dir()
    assert shadows.imported() == []
