"""The service over HTTP: calls that return JSON, and errors in words."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import quote

import httpx2 as httpx

from babylm.address import local_transport, parse_address, proxy_errors, proxy_for
from babylm.errors import CommandError
from babylm.figures import SHORTEST_ID
from babylm.wire import Body, Checkpoint, Event, Job

TIMEOUT_SECONDS = 30.0
CONNECT_SECONDS = 5.0
SUBMIT_TRIES = 4
"""A submit that carries a key may be sent again: the service makes no second job of it."""
RETRY_SECONDS = 0.5
PAGE_SIZE = 100


class ServiceError(CommandError):
    """The service refused a request.

    Attributes:
        code: The HTTP status.
    """

    def __init__(self, code: int, message: str, *, details: Body) -> None:
        super().__init__(message, details=details)
        self.code = code


class ServiceUnreachable(CommandError):
    """Nobody answers at the address."""


class Client:
    """A connection to one service."""

    def __init__(
        self, url: str, *, api_key: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        address = parse_address(url)
        self.url = str(address)
        self._base_url = address.url
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        with proxy_errors(address.url):
            self._http = httpx.Client(
                base_url=address.url,
                headers=headers,
                timeout=httpx.Timeout(timeout_seconds, connect=CONNECT_SECONDS),
                transport=local_transport(address),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def submit(self, body: Body, *, idempotency_key: str) -> Job:
        """The job made of a spec. The same key twice gives the same job."""
        headers = {"Idempotency-Key": idempotency_key}
        for attempt in range(1, SUBMIT_TRIES):
            try:
                return cast(Job, self.call("POST", "/v1/jobs", json=body, headers=headers))
            except ServiceUnreachable as error:
                if isinstance(error.__cause__, httpx.ConnectError):
                    raise
            time.sleep(RETRY_SECONDS * attempt)
        return cast(Job, self.call("POST", "/v1/jobs", json=body, headers=headers))

    def estimate(self, body: Body) -> Body:
        """What a spec would cost; nothing is stored."""
        return cast(Body, self.call("POST", "/v1/jobs/estimate", json=body))

    def jobs(self, *, status: str | None = None, limit: int = 20) -> list[Job]:
        """The newest jobs first, at most `limit`."""
        found: list[Job] = []
        query: dict[str, str | int] = {"status": status} if status else {}
        while len(found) < limit:
            query["limit"] = min(PAGE_SIZE, limit - len(found))
            page = self.call("GET", "/v1/jobs", params=query)
            found += page["data"]
            if not page.get("next") or not page["data"]:
                break
            query["after"] = page["next"]
        return found[:limit]

    def job(self, name: str) -> Job:
        """The job of that id, of an id that begins so, or the newest one for `last`."""
        if name == "last":
            newest = self.jobs(limit=1)
            if not newest:
                raise CommandError("there is no job yet", hint="Submit one with `babylm submit`.")
            return self.job(newest[0]["id"])
        try:
            return cast(Job, self.call("GET", f"/v1/jobs/{quote(name, safe='')}"))
        except ServiceError as error:
            if error.code not in (404, 422):
                raise
            begins = self._ids_that_begin(name) if len(name) >= SHORTEST_ID else []
            if len(begins) > 1:
                some = ", ".join(begins[:3])
                raise CommandError(
                    f"{name} is the beginning of {len(begins)} job ids: {some}",
                    hint="Give more characters of the one that you mean.",
                ) from error
            if not begins:
                raise
        return self.job(begins[0])

    def _ids_that_begin(self, name: str) -> list[str]:
        """The ids of the newest page of jobs that has such ids."""
        query: dict[str, str | int] = {"limit": PAGE_SIZE}
        while True:
            page = self.call("GET", "/v1/jobs", params=query)
            found = [job["id"] for job in page["data"] if job["id"].startswith(name)]
            if found or not page.get("next") or not page["data"]:
                return found
            query["after"] = page["next"]

    def act(self, job_id: str, wish: str) -> Job:
        """Asks to cancel, pause, resume or retry."""
        return cast(Job, self.call("POST", f"/v1/jobs/{job_id}/{wish}"))

    def delete(self, job_id: str) -> None:
        """Removes a finished job and its artifacts."""
        self.call("DELETE", f"/v1/jobs/{job_id}")

    def events(self, job_id: str, *, after: int = 0, limit: int = 500) -> list[Event]:
        """A page of events behind the sequence number."""
        query = {"after": after, "limit": limit}
        page = self.call("GET", f"/v1/jobs/{job_id}/events", params=query)
        return cast(list[Event], page["data"])

    def checkpoints(self, job_id: str) -> list[Checkpoint]:
        """The checkpoints of a job."""
        page = self.call("GET", f"/v1/jobs/{job_id}/checkpoints")
        return cast(list[Checkpoint], page["data"] if isinstance(page, dict) else page)

    def generate(self, job_id: str, checkpoint: str, body: Body) -> Body:
        """Text from a checkpoint. The first call may wait for the model to be loaded."""
        path = f"/v1/jobs/{job_id}/checkpoints/{quote(checkpoint, safe='')}/generate"
        return cast(Body, self.call("POST", path, json=body, timeout=300.0))

    def listing(self, path: str) -> list[Body]:
        """A list, whether the service sends it bare or as `data`."""
        answer = self.call("GET", path)
        return cast(list[Body], answer["data"] if isinstance(answer, dict) else answer)

    def call(self, method: str, path: str, **request: Any) -> Any:  # Any: JSON
        """One request and its JSON.

        Raises:
            ServiceError: If the service refused it.
            ServiceUnreachable: If no answer came.
        """
        try:
            answer = self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        _check(answer)
        return answer.json() if answer.content else None

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        read_seconds: float = TIMEOUT_SECONDS,
    ) -> Iterator[httpx.Response]:
        """An answer that is read piece by piece. Errors on the way are httpx's own."""
        timeout = httpx.Timeout(read_seconds, connect=CONNECT_SECONDS)
        with self._http.stream(
            "GET", path, headers=headers, params=params, timeout=timeout
        ) as answer:
            if answer.is_error:
                answer.read()
            _check(answer)
            yield answer

    def _unreachable(self, error: httpx.TransportError) -> ServiceUnreachable:
        proxy = proxy_for(self._base_url)
        if proxy is not None and isinstance(error, httpx.ConnectError | httpx.ProxyError):
            return ServiceUnreachable(
                f"no service at {self.url} through the proxy {proxy[1]}: {error}",
                hint=f"The proxy comes from {proxy[0]}; list the host in NO_PROXY to connect "
                "directly.",
            )
        if isinstance(error, httpx.ConnectError):
            hint = "Start one with `babylm serve`, or name it with --url or BABYLM_URL."
            return ServiceUnreachable(f"no service at {self.url}", hint=hint)
        reason = str(error) or type(error).__name__
        return ServiceUnreachable(f"the service at {self.url} does not answer: {reason}")


def _check(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {"detail": str(problem)}
    raise ServiceError(answer.status_code, _message(answer, problem), details=problem)


def _message(answer: httpx.Response, problem: Body) -> str:
    """The problem in words; each wrong field on a line of its own."""
    title = problem.get("detail") or problem.get("title") or answer.reason_phrase
    lines = [f"{title} ({answer.status_code})"]
    errors = problem.get("errors")
    for error in errors if isinstance(errors, list) else []:
        if isinstance(error, dict):
            field, message = error.get("field", "request"), error.get("message", "is not valid")
            lines.append(f"  {field}: {message}")
    if answer.status_code == 401:
        lines.append("  set BABYLM_API_KEY to a key of the service")
    return "\n".join(lines)
