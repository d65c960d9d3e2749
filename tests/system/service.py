"""The real service in its own processes, for the system tests."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil

from babylm.client.address import local_transport, parse_address
from core.process.program import python_command
from jobs.states import FINAL
from tests.waiting import DEADLINE, wait_for

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = tuple(python_command("babylm.main"))


def tiny_spec(architecture: str = "olmo2", *, max_steps: int = 30, **training: Any) -> dict:
    """The spec of a job that takes seconds: two layers of width 32."""
    model = {"architecture": architecture, "hidden_size": 32, "num_hidden_layers": 2}
    if architecture == "llama4":
        model["num_local_experts"] = 4
    return {
        "name": f"tiny {architecture}",
        "data": {"dataset": "sample", "validation": "sample_dev"},
        "tokenizer": {"vocab_size": 512},
        "model": model,
        "training": {
            "seq_length": 32,
            "batch_size": 8,
            "epochs": 10_000,  # max_steps ends the run
            "max_steps": max_steps,
            "learning_rate": 3e-3,
            "logging_steps": 1,
            "eval_steps": 10,
            "save_steps": 10,
            "eval_tokens": 2000,
            "num_threads": 1,
            "sample_prompts": ["The dog"],
            "sample_max_new_tokens": 8,
            **training,
        },
    }


def open_http(url: str, **options: Any) -> httpx.Client:
    """A client of a service at a URL, or at a Unix socket `unix:PATH`."""
    address = parse_address(url)
    return httpx.Client(base_url=address.url, transport=local_transport(address), **options)


class Service:
    """`babylm serve` and a client of it."""

    def __init__(
        self, process: subprocess.Popen, url: str, runs_dir: Path, key: str | None = None
    ) -> None:
        self.process = process
        self.runs_dir = runs_dir
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.http = open_http(url, timeout=DEADLINE, headers=headers)

    def submit(self, spec: dict, **headers: str) -> dict:
        answer = self.http.post("/v1/jobs", json=spec, headers=headers)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def job(self, job_id: str) -> dict:
        return self.http.get(f"/v1/jobs/{job_id}").json()

    def wait(self, job_id: str, *, until: Set[str] = FINAL, seconds: float = DEADLINE) -> dict:
        def reached() -> dict | None:
            job = self.job(job_id)
            return job if job["status"] in until else None

        return wait_for(reached, what=lambda: f"{until}: {self.job(job_id)}", seconds=seconds)

    def wait_for_step(self, job_id: str, step: int, *, seconds: float = DEADLINE) -> None:
        def reached() -> bool:
            steps = [e["data"]["step"] for e in self.events(job_id) if e["type"] == "metrics"]
            job = self.job(job_id)
            assert job["status"] not in FINAL, job
            return bool(steps) and max(steps) >= step

        wait_for(reached, what=f"step {step}", seconds=seconds)

    def events(self, job_id: str) -> list[dict]:
        events: list[dict] = []
        while True:
            after = events[-1]["seq"] if events else 0
            answer = self.http.get(
                f"/v1/jobs/{job_id}/events", params={"after": after, "limit": 1000}
            )
            page = answer.json()["data"]
            if not page:
                return events
            events += page

    def losses(self, job_id: str) -> dict[int, float]:
        """The training loss by step. If a step was run twice, the later loss counts."""
        return {
            event["data"]["step"]: event["data"]["values"]["train/loss"]
            for event in self.events(job_id)
            if event["type"] == "metrics" and "train/loss" in event["data"]["values"]
        }

    def child(self, job_id: str) -> psutil.Process:
        """The training process of a running job."""

        def found() -> psutil.Process | None:
            for process in psutil.Process(self.process.pid).children(recursive=True):
                try:
                    line = process.cmdline()
                except psutil.NoSuchProcess:
                    continue
                if "core.run" in line and any(job_id in word for word in line):
                    return process
            return None

        return wait_for(found, what=f"training process of {job_id}")

    def checkpoint_hash(self, job_id: str, name: str = "last") -> str:
        answer = self.http.get(f"/v1/jobs/{job_id}/checkpoints")
        for checkpoint in answer.json()["data"]:
            if checkpoint["name"] == name:
                files = {file["path"]: file["sha256"] for file in checkpoint["files"]}
                return files["model.safetensors"]
        raise AssertionError(answer.text)


@contextmanager
def running_service(
    folder: Path, *, program: Sequence[str] = PROGRAM, cwd: Path = ROOT, **environment: str
) -> Iterator[Service]:
    """Runs the service with default settings and files below `folder`, until the block ends."""
    runs_dir = folder / "runs"
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith("BABYLM_")
    }
    variables |= {
        "BABYLM_DATA_DIR": str(folder / "data"),
        "BABYLM_RUNS_DIR": str(runs_dir),
        **environment,
    }
    log = (folder / "serve.log").open("ab")
    process = subprocess.Popen(
        [*program, "serve", *([] if "BABYLM_SOCKET" in environment else ["--port", "0"])],
        cwd=cwd,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    service: Service | None = None
    try:
        url = _url(process, runs_dir, folder / "serve.log")
        service = Service(process, url, runs_dir, environment.get("BABYLM_API_KEY"))
        yield service
    finally:
        if service is not None:
            service.http.close()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        log.close()


def _url(process: subprocess.Popen, runs_dir: Path, log: Path) -> str:
    def ready() -> str | None:
        assert process.poll() is None, log.read_text()
        try:
            url = json.loads((runs_dir / "service.json").read_text())["url"]
            with open_http(url, timeout=DEADLINE) as http:
                answer = http.get("/readyz")
        except (FileNotFoundError, ValueError, httpx.TransportError):
            return None
        return url if answer.status_code == 200 else None

    return wait_for(ready, what=f"service ready; {log.read_text()}")
