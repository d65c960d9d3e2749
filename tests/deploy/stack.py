"""Builds and starts docker-compose.yml under its own project name, for the test of the stack."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx

ROOT = Path(__file__).resolve().parents[2]
KEY = "a-key-of-the-trial-only"
PROJECT = "babylm-trial"
BUILD_SECONDS = 1800.0
START_SECONDS = 180.0


def wait_for(condition: Callable[[], Any], *, seconds: float, what: Callable[[], str]) -> Any:
    """The first truthy value of `condition`, polled until the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"timed out after {seconds} s: {what()}")


class Stack:
    """The containers, and a client of their API."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.data_dir = folder / "data"
        self.uid = str(os.getuid() or 1000)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name[:7] != "BABYLM_"},
            "COMPOSE_PROFILES": "cpu",
            "COMPOSE_PROJECT_NAME": PROJECT,
            "BABYLM_API_KEY": KEY,
            "BABYLM_PORT": str(self.port),
            "BABYLM_HOST_DATA_DIR": str(self.data_dir),
            "BABYLM_UID": self.uid,
            "BABYLM_GID": self.uid,
            "BABYLM_TRY_BASE_IMAGE": os.environ.get("BABYLM_TRY_BASE_IMAGE", "python:3.12-slim"),
            "BABYLM_TORCH_INDEX_URL": os.environ.get("BABYLM_TORCH_INDEX_URL", ""),
        }
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=60
        )

    def compose(self, *words: str, seconds: float = 120.0) -> str:
        """Runs docker compose with the override `trial.yml`; returns what it printed."""
        command = [*compose_command(), "-f", "docker-compose.yml", "-f", "tests/deploy/trial.yml"]
        return self._run([*command, *words], seconds)

    def docker(self, *words: str) -> str:
        """Runs docker."""
        return self._run(["docker", *words], 300.0)

    def container(self, service: str) -> str:
        """The id of a service's container, running or not."""
        ids = self.docker(
            "ps", "-aq",
            "--filter", f"label=com.docker.compose.project={PROJECT}",
            "--filter", f"label=com.docker.compose.service={service}",
        )  # fmt: skip
        return ids.split()[0]

    def inside(self, service: str, *words: str) -> str:
        """The output of a command in a service's container."""
        return self.docker("exec", self.container(service), *words)

    def submit(self, spec: dict[str, Any]) -> str:
        """The id of a new job."""
        answer = self.http.post("/v1/jobs", json=spec)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as it is now."""
        job: dict[str, Any] = self.http.get(f"/v1/jobs/{job_id}").json()
        return job

    def wait(self, job_id: str, statuses: set[str], *, seconds: float) -> dict[str, Any]:
        """Waits until the job has one of the statuses; returns the job."""

        def reached() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["status"] in statuses else None

        found: dict[str, Any] = wait_for(
            reached, seconds=seconds, what=lambda: f"{statuses}: {self.job(job_id)}"
        )
        return found

    def steps(self, job_id: str) -> list[int]:
        """The steps with a training loss, in the order of the events."""
        steps: list[int] = []
        after = 0
        while True:
            query = {"after": after, "limit": 1000}
            page = self.http.get(f"/v1/jobs/{job_id}/events", params=query).json()["data"]
            if not page:
                return steps
            after = page[-1]["seq"]
            steps += [
                event["data"]["step"]
                for event in page
                if event["type"] == "metrics" and "train/loss" in event["data"]["values"]
            ]

    def _run(self, command: list[str], seconds: float) -> str:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            timeout=seconds,
            text=True,
            capture_output=True,
        )
        assert done.returncode == 0, f"{command}: {done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout


def compose_command() -> list[str]:
    """The command of Docker compose: the plugin of docker, or the older separate program."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    assert shutil.which("docker-compose"), "neither `docker compose` nor docker-compose is here"
    return ["docker-compose"]


@contextmanager
def running_stack(folder: Path) -> Iterator[Stack]:
    """Builds the images, runs the profile `cpu` on the sample corpus; removes all at the end."""
    stack = Stack(folder)
    stack.data_dir.mkdir()
    if os.getuid() == 0:
        os.chown(stack.data_dir, int(stack.uid), int(stack.uid))
    stack.compose("build", seconds=BUILD_SECONDS)
    try:
        stack.compose(
            "run", "--rm", "-T", "--entrypoint", "python3", "api", "-m", "core.sample", "/data"
        )
        stack.compose("up", "-d", seconds=START_SECONDS)
        wait_for(lambda: _answers(stack), seconds=START_SECONDS, what=lambda: stack.compose("logs"))
        yield stack
    finally:
        stack.http.close()
        stack.compose("down", "-v", "--timeout", "60")


def _answers(stack: Stack) -> bool:
    try:
        return stack.http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
