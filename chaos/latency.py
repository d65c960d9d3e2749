"""Measures how long a cancel, a worker shutdown, the recovery from a dead worker and a submit take.

The service has the default settings, one worker and the tiny models.
"""

import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx

from chaos.client import Client
from chaos.processes import Part, Service
from chaos.workload import Spec, spec_of, write_corpus

LONG_STEPS = 1_000_000
WAIT_SECONDS = 120.0
LOOK_SECONDS = 0.005
SUBMITS = 200
LIMITS = {
    "cancel to process gone, p95": 1.0,
    "SIGTERM to worker gone, max": 8.0,
    "SIGTERM to worker gone with a frozen broker, max": 8.0,
    "steps lost by SIGTERM, max": 0.0,
    "SIGKILL of the worker to training again, max": 20.0,
    "submit with a frozen broker, p99": 0.25,
}
"""The promised limits of docs/reliability.md, in seconds or in steps."""


def measure(*, cancels: int, others: int) -> int:
    """Runs all measurements and prints JSON; returns 1 if a value exceeds its limit."""
    folder = Path(tempfile.mkdtemp(prefix="latency-"))
    write_corpus(folder / "data")
    service = Service(folder, mode="embedded", workers=1)
    bench = _Bench(service, Client(service.url))
    service.start()
    try:
        bench.cancels(cancels)
        bench.kills(others)
        bench.terms(others)
        bench.frozen_broker(max(3, others // 5))
    finally:
        service.stop()
        bench.client.close()
        shutil.rmtree(folder, ignore_errors=True)
    figures = bench.figures()
    passed = {name: figures[name] for name, limit in LIMITS.items() if figures[name] > limit}
    counts = {name: len(values) for name, values in bench.values.items()}
    report = {"figures": figures, "n": counts, "beyond_limit": passed}
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return 1 if passed else 0


class _Bench:
    """A service and its measurements."""

    def __init__(self, service: Service, client: Client) -> None:
        self.service, self.client = service, client
        self.values: dict[str, list[float]] = {}
        self._number = 0

    def figures(self) -> dict[str, float]:
        """Median, 95th and 99th percentile and maximum of each measurement."""
        found: dict[str, float] = {}
        for name, values in self.values.items():
            ordered = sorted(values)
            for label, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)):
                place = min(len(ordered) - 1, int(share * len(ordered)))
                found[f"{name}, {label}"] = round(ordered[place], 3)
        return found

    def cancels(self, count: int) -> None:
        """Measures the time from a cancel to the end of the process and to status `cancelled`."""
        for _ in range(count):
            job_id = self._train()
            pids = [pid for pid, job in self.service.trainers().items() if job == job_id]
            began = time.monotonic()
            assert self.client.act(job_id, "cancel")
            self._wait(lambda: not any(Path("/proc", str(pid)).exists() for pid in pids))  # noqa: B023
            self._note("cancel to process gone", time.monotonic() - began)
            self._wait(lambda: self.client.job(job_id)["status"] == "cancelled")  # noqa: B023
            self._note("cancel to status", time.monotonic() - began)

    def kills(self, count: int) -> None:
        """Measures the time from the worker's death to the first step of the next attempt."""
        job_id = self._train()
        for _ in range(count):
            attempt = self.client.job(job_id)["attempt"]
            began = time.monotonic()
            self._worker().send(signal.SIGKILL)
            self._wait(lambda: self._trains(job_id, after_attempt=attempt))  # noqa: B023
            self._note("SIGKILL of the worker to training again", time.monotonic() - began)
        self._end(job_id)

    def terms(self, count: int) -> None:
        """Measures the time from SIGTERM to the worker's end, and the steps that its job loses."""
        job_id = self._train()
        for _ in range(count):
            attempt = self.client.job(job_id)["attempt"]
            self._term("SIGTERM to worker gone")
            checkpoints = self._get(f"/v1/jobs/{job_id}/checkpoints")["data"]
            saved = max(checkpoint["step"] for checkpoint in checkpoints)
            reported = max(self._steps(job_id))
            self._note("steps lost by SIGTERM", max(0, reported - saved))
            self._wait(lambda: self._trains(job_id, after_attempt=attempt))  # noqa: B023
        self._end(job_id)

    def frozen_broker(self, ends: int) -> None:
        """Submits jobs and ends workers while Redis is frozen (SIGSTOP)."""
        redis = self.service.parts["redis"]
        ids = []
        redis.send(signal.SIGSTOP)
        try:
            time.sleep(2.0)  # time for all clients to notice
            with httpx.Client(base_url=self.service.url, timeout=60.0) as http:
                for _ in range(SUBMITS):
                    began = time.monotonic()
                    answer = http.post("/v1/jobs", json=self._spec())
                    self._note("submit with a frozen broker", time.monotonic() - began)
                    assert answer.status_code == 201, answer.text
                    ids.append(answer.json()["id"])
            for _ in range(ends):
                self._term("SIGTERM to worker gone with a frozen broker")
                time.sleep(5.0)  # time for the next worker to start
        finally:
            redis.send(signal.SIGCONT)
        for job_id in ids:
            self.client.act(job_id, "cancel")

    def _term(self, name: str) -> None:
        process = self._worker().process
        assert process is not None
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT_SECONDS)
        self._note(name, time.monotonic() - began)

    def _worker(self) -> Part:
        part = self.service.worker_parts()[0]
        self._wait(lambda: part.pid is not None)
        return part

    def _spec(self) -> Spec:
        self._number += 1
        spec = spec_of(self._number)
        spec["training"] |= {"max_steps": LONG_STEPS, "epochs": 10_000.0}
        return spec

    def _train(self) -> str:
        """The id of a new job that is training."""
        job_id = self.client.submit(f"latency-{time.monotonic_ns()}", self._spec())
        self._wait(lambda: self._trains(job_id, after_attempt=0))
        return job_id

    def _trains(self, job_id: str, *, after_attempt: int) -> bool:
        events = self._get(f"/v1/jobs/{job_id}/events?after={self._seen(job_id)}")["data"]
        starts = [
            event["seq"]
            for event in events
            if event["type"] == "status"
            and event["data"]["status"] == "running"
            and event["data"]["attempt"] > after_attempt
        ]
        return bool(starts) and any(
            event["seq"] > starts[-1] and "train/loss" in event["data"].get("values", {})
            for event in events
        )

    def _seen(self, job_id: str) -> int:
        """The sequence number of the event before the newest thousand events."""
        job = self.client.job(job_id)
        return max(0, int(job.get("last_seq", 0)) - 1000)

    def _steps(self, job_id: str) -> list[int]:
        series = self._get(f"/v1/jobs/{job_id}/metrics?names=train/loss")["series"]
        return list(series["train/loss"]["step"])

    def _end(self, job_id: str) -> None:
        self.client.act(job_id, "cancel")
        self._wait(lambda: self.client.job(job_id)["status"] == "cancelled")

    def _get(self, path: str) -> Any:  # any JSON value
        return httpx.get(self.service.url + path, timeout=10.0).json()

    def _note(self, name: str, value: float) -> None:
        self.values.setdefault(name, []).append(value)

    def _wait(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {WAIT_SECONDS:.0f} s")
            time.sleep(LOOK_SECONDS)
