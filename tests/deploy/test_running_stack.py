"""The real images and the real compose file run jobs. A worker is stopped in the middle of a job.

The tests build two images and train models, which takes minutes and needs a Docker daemon. So they
run only with BABYLM_TRY_DOCKER=1. docs/operations.md says how to run them, also without a registry.
"""

import os
import sqlite3

import pytest

from babylm.client import Client
from jobs.states import FINAL
from tests.deploy.stack import KEY, running_stack, wait_for

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        os.environ.get("BABYLM_TRY_DOCKER") != "1",
        reason="takes minutes, because it builds images; needs BABYLM_TRY_DOCKER=1",
    ),
]

TRAINING_SECONDS = 900
"""Seconds after which a job counts as stuck. This is not a limit on speed."""
ONE_THREAD = {"num_threads": 1}
"""Training settings. With two threads, the threads wait for each other, up to 4 s per step, if
another program uses a core."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with running_stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture(scope="module")
def finished_job(stack):
    job_id = stack.submit({"preset": "sample", "training": ONE_THREAD | {"max_steps": 60}})
    job = stack.wait(job_id, FINAL, seconds=TRAINING_SECONDS)
    assert job["status"] == "succeeded", job
    return job_id


def test_a_checkpoint_downloads_and_loads_with_transformers(stack, finished_job, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with Client(stack.url, api_key=KEY) as client:
        client.job(finished_job).checkpoints["last"].download(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer("The dog near the tree runs.", return_tensors="pt")["input_ids"]
    loss = model(input_ids=ids, labels=ids).loss.item()
    assert 0.0 < loss < 6.6, "a model that knows nothing has a loss of ln(768) = 6.64"


def test_text_from_a_checkpoint_comes_from_the_short_worker(stack, finished_job):
    body = {"prompt": "The dog", "max_new_tokens": 8}
    path = f"/v1/jobs/{finished_job}/checkpoints/last/generate"
    answer = stack.http.post(path, json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    assert answer.json()["text"]
    logs = stack.compose("logs", "worker-short", "worker-cpu")
    assert "SecurityWarning" not in logs, logs
    assert "Traceback" not in logs, logs


def test_a_job_continues_after_its_worker_was_stopped(stack):
    training = ONE_THREAD | {"max_steps": 120, "logging_steps": 1, "save_steps": 1000}
    job_id = stack.submit({"preset": "sample", "training": training})
    wait_for(
        lambda: max(stack.steps(job_id), default=0) >= 10,
        seconds=TRAINING_SECONDS,
        what=lambda: str(stack.job(job_id)),
    )
    stack.compose("stop", "worker-cpu")
    stopped = stack.container("worker-cpu")
    assert stack.docker("inspect", "-f", "{{.State.ExitCode}}", stopped).strip() == "0"
    job = stack.job(job_id)
    assert job["status"] == "queued", job
    steps_before = stack.steps(job_id)
    assert max(steps_before) < 120

    stack.compose("start", "worker-cpu")
    job = stack.wait(job_id, FINAL, seconds=TRAINING_SECONDS)
    assert job["status"] == "succeeded", job
    assert job["attempt"] == 2
    assert stack.steps(job_id) == list(range(1, 121)), "every step once: none lost, none repeated"


def test_only_the_api_is_reachable_and_only_with_a_key(stack):
    assert stack.http.get("/v1/jobs", headers={"Authorization": ""}).status_code == 401
    assert stack.http.get("/v1/jobs").status_code == 200
    ports = stack.docker("ps", "--filter", "name=babylm-trial", "--format", "{{.Ports}}").split(
        "\n"
    )
    published = [line for line in ports if "->" in line]
    assert published == [f"127.0.0.1:{stack.port}->8000/tcp"]


def test_the_containers_have_few_privileges(stack):
    for service in ("api", "worker-cpu", "worker-short"):
        program = (
            "import os, pathlib; status = pathlib.Path('/proc/self/status').read_text()\n"
            "print(os.getuid(), [l.split()[1] for l in status.splitlines() if l[:6] == 'CapEff'],"
            " os.access('/opt', os.W_OK), os.access('/runs', os.W_OK), os.access('/data', os.W_OK))"
        )
        seen = stack.inside(service, "python3", "-c", program).strip()
        writes_data = service == "api"
        assert seen == f"{stack.uid} ['{'0' * 16}'] False True {writes_data}"


def test_the_api_carries_neither_torch_nor_a_compiler(stack):
    find = "import importlib.util, shutil; "
    find += "print(importlib.util.find_spec('torch') is not None, shutil.which('g++') is not None)"
    assert stack.inside("api", "python3", "-c", find).strip() == "False False"
    assert stack.inside("worker-cpu", "python3", "-c", find).strip() == "True True"


def test_a_worker_can_compile_with_torch_on_its_read_only_root(stack):
    program = (
        "import torch; compiled = torch.compile(lambda x: torch.sin(x) * 2 + 1)\n"
        "x = torch.linspace(0, 1, 1000); print(torch.allclose(compiled(x), torch.sin(x) * 2 + 1))"
    )
    variables = ["-e", "TORCHINDUCTOR_CACHE_DIR=/runs/cache/compile", "-e", "CXX=g++"]
    worker = stack.container("worker-cpu")
    seen = stack.docker("exec", *variables, worker, "python3", "-c", program)
    assert seen.strip() == "True"  # the cache is not in /tmp, which Docker mounts without `exec`


def test_a_backup_is_a_whole_database(stack, finished_job, tmp_path):
    statement = "VACUUM INTO '/runs/backup.sqlite3'"
    program = f'import sqlite3; sqlite3.connect("/runs/babylm.sqlite3").execute("{statement}")'
    stack.inside("api", "python3", "-c", program)
    stack.docker("cp", f"{stack.container('api')}:/runs/backup.sqlite3", str(tmp_path / "backup"))
    stack.inside("api", "rm", "/runs/backup.sqlite3")
    with sqlite3.connect(tmp_path / "backup") as backup:
        assert backup.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = backup.execute("SELECT status FROM job WHERE id = ?", (finished_job,)).fetchall()
    assert rows == [("succeeded",)]
