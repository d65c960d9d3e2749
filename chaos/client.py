"""A client that repeats its requests while the service does not answer.

A repeated submit has the same idempotency key. Only `get` and `act` send a request once.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import httpx2 as httpx

from chaos.workload import Spec

RETRY_SECONDS = 0.3
POLL_SECONDS = 0.5

Body = dict[str, Any]  # any JSON value


class Client:
    """Submits jobs by key, watches them, and restarts jobs that a fault paused or ended."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=5.0)
        self._lock = threading.Lock()
        self.jobs: dict[str, str] = {}
        """The job id that the service returned for each key."""
        self.problems: list[str] = []
        self.revivals: dict[str, int] = {}
        """Number of retries and resumes by reason: `cancelled`, `disk_full`, `paused`."""

    def submit(self, key: str, spec: Spec) -> str:
        """Repeats a submit until the service accepts it; checks that a key has only one job id."""

        def send() -> str | None:
            answer = self._http.post("/v1/jobs", json=spec, headers={"Idempotency-Key": key})
            if answer.status_code in (200, 201):
                return str(answer.json()["id"])
            if answer.status_code < 500:
                self.problems.append(f"submit {key}: {answer.status_code} {answer.text[:200]}")
            return None

        job_id: str = self._request(send, seconds=120.0)
        with self._lock:
            if self.jobs.setdefault(key, job_id) != job_id:
                self.problems.append(f"key {key} gave two jobs: {self.jobs[key]} and {job_id}")
        return job_id

    def post(self, path: str, body: Body, *, key: str | None) -> Body:
        """Repeats a POST until the service accepts it. A POST without a key must be idempotent."""
        headers = {} if key is None else {"Idempotency-Key": key}

        def send() -> Body | None:
            answer = self._http.post(path, json=body, headers=headers)
            if 400 <= answer.status_code < 500:
                self.problems.append(f"POST {path}: {answer.status_code} {answer.text[:200]}")
            return answer.json() if answer.is_success else None

        found: Body = self._request(send, seconds=120.0)
        return found

    def job(self, job_id: str) -> Body:
        """Repeats the request for the job until the service answers."""

        def get() -> Body | None:
            answer = self._http.get(f"/v1/jobs/{job_id}")
            if answer.status_code == 404:
                self.problems.append(f"job {job_id} no longer exists")
            return answer.json() if answer.status_code == 200 else None

        body: Body = self._request(get, seconds=120.0)
        return body

    def get(self, path: str) -> Any:  # any JSON value
        """The JSON response of a path."""
        return self._http.get(path).json()

    def act(self, job_id: str, action: str) -> bool:
        """Requests an action once; True if the service accepted the request."""
        try:
            return bool(self._http.post(f"/v1/jobs/{job_id}/{action}").status_code == 202)
        except httpx.TransportError:
            return False

    def tend(self, job_id: str) -> bool:
        """Checks a job once and restarts it if a fault paused or ended it.

        Returns True if the job has succeeded.
        """
        job = self.job(job_id)
        status, error = job["status"], job["error"]
        if status == "succeeded":
            return True
        if status == "cancelled":
            self._revive(job_id, "retry", "cancelled")
        elif status == "paused":
            self._revive(job_id, "resume", "paused")
        elif status == "failed":
            if error["code"] != "disk_full":
                self.problems.append(f"job {job_id} failed: {error}")
            self._revive(job_id, "retry", str(error["code"]))
        return False

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def _revive(self, job_id: str, action: str, reason: str) -> None:
        if self.act(job_id, action):
            with self._lock:
                self.revivals[reason] = self.revivals.get(reason, 0) + 1

    def _request(self, send: "Callable[[], Any]", *, seconds: float) -> Any:  # the result of `send`
        deadline = time.monotonic() + seconds
        while True:
            try:
                answer = send()
            except (httpx.TransportError, ValueError):
                answer = None
            if answer is not None:
                return answer
            if time.monotonic() > deadline:
                raise TimeoutError(f"no answer within {seconds:.0f} s")
            time.sleep(RETRY_SECONDS)
