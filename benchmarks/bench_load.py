"""Measures the API under load during a training run, and in a burst of requests.

`load/burst` sends BURST requests at once, each on its own socket, and polls `/healthz` meanwhile.

`load/training` keeps 100 event streams and 40 stalled downloads open, and sends 200 reads and 5
submits per second for BABYLM_BENCH_SECONDS (default 60). It compares the step time of the run with
the step time without this load, which is the mean of a period before it and a period after it, so
that a machine that becomes slower or faster does not change the result. It measures the delay
between the time of an event and its arrival in a stream. The requests share open connections, as
those of a browser or an HTTP client do. The run is pinned to the first core; the API, the broker
and this program share the last core.

The processor time per request does not depend on other programs. To measure it on a busy machine,
where 200 reads per second overload the API, set BABYLM_BENCH_READS to a lower rate such as 20.

BABYLM_BENCH_DATABASE_URL names an empty Postgres database; the default is SQLite.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.bench_overhead import family, processor_seconds
from benchmarks.report import figure, note, wanted
from chaos.client import Client
from chaos.processes import Service
from chaos.workload import write_corpus
from core.events.journal import read_journal
from core.process.program import python_command
from core.storage.rundir import RunDir

NAMES = ("load/burst", "load/training")
SPEC: dict[str, Any] = {  # any JSON value
    "data": {"dataset": "sample", "validation": "sample_dev"},
    "tokenizer": {"vocab_size": 512},
    "model": {"architecture": "olmo2", "hidden_size": 256, "num_hidden_layers": 4},
    "training": {
        "seq_length": 32,
        "batch_size": 4,
        "epochs": 10_000,
        "max_steps": 100_000,
        "logging_steps": 1,
        "eval_tokens": 2000,
        "save_steps": 50,
        "num_threads": 1,
        "sample_prompts": [],
    },
}
"""The run has short steps. Its checkpoint is larger than the buffers of a socket, so a download
stalls if the client does not read it."""
BURST = 400
STREAMS = 100
TIMED_STREAMS = 3
"""Number of streams in which the arrival of each event is timed."""
STALLED = 40
READS_PER_SECOND = int(os.environ.get("BABYLM_BENCH_READS", "200"))
SUBMITS_PER_SECOND = 5
REQUEST_SECONDS = 60.0
START_SECONDS = 300.0
HEALTH_SECONDS = 0.05
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


@dataclass
class Answers:
    """The answers to one kind of request."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)

    def add(self, seconds: float, status: str) -> None:
        """Counts one answer."""
        self.seconds.append(seconds)
        self.statuses[status] += 1

    def percentile(self, share: float) -> float:
        """The latency in milliseconds that this share of the answers does not exceed."""
        ordered = sorted(self.seconds)
        return 1000.0 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def failures(self) -> int:
        """Number of requests without an answer, or with a 5xx other than a 503 with Retry-After."""
        return sum(
            count for status, count in self.statuses.items() if status == "none" or status >= "5"
        ) - sum(count for status, count in self.statuses.items() if status == "503 retry")


@dataclass(frozen=True)
class Target:
    """The service under load."""

    port: int
    job_id: str
    reads: tuple[str, ...]
    download: str


def run(only: str | None = None) -> None:
    """Starts a service and runs the selected benchmarks on it."""
    names = wanted(NAMES, only)
    seconds = float(os.environ.get("BABYLM_BENCH_SECONDS", "60"))
    folder = Path(tempfile.mkdtemp(prefix="load-"))
    try:
        with _service(folder) as service:
            target = _prepare(service)
            if "load/burst" in names:
                asyncio.run(_burst("load/burst", target))
            if "load/training" in names:
                _training("load/training", service, target, seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _service(folder: Path) -> Iterator[Service]:
    write_corpus(folder / "data")
    settings = {}
    if url := os.environ.get("BABYLM_BENCH_DATABASE_URL"):
        settings["BABYLM_DATABASE_URL"] = url
    service = Service(folder, mode="embedded", workers=1, settings=settings)
    service.start()
    try:
        yield service
    finally:
        service.stop()


def _prepare(service: Service) -> Target:
    """Starts the run, waits for its first checkpoint and pins the processes."""
    client = Client(service.url)
    job_id = client.submit("load", SPEC)
    path = f"/v1/jobs/{job_id}/checkpoints"
    deadline = time.monotonic() + START_SECONDS
    while not (found := client.get(path)["data"]):
        if time.monotonic() > deadline:
            raise RuntimeError(f"no checkpoint within {START_SECONDS:.0f} s: {client.job(job_id)}")
        time.sleep(0.5)
    client.close()
    largest = max(found[0]["files"], key=lambda file: file["size"])["path"]
    reads = (
        *("/v1/jobs?limit=1", f"/v1/jobs/{job_id}", f"/v1/jobs/{job_id}/events?limit=20"),
        *(f"/v1/metrics?jobs={job_id}", "/v1/workers"),
    )
    _pin(service)
    return Target(service.port, job_id, reads, f"{path}/last/files/{largest}")


def _pin(service: Service) -> None:
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    for name, part in service.parts.items():
        core = cores[0] if name.startswith("worker") else cores[-1]
        for process in family(part.pid) if part.pid else []:
            for task in Path("/proc", str(process.pid), "task").iterdir():
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(int(task.name), {core})


async def _burst(name: str, target: Target) -> None:
    answers = Answers()
    connections = Connections(target.port)
    await connections.open(BURST)
    with _watched_health(target.port) as health:
        began = time.perf_counter()
        await asyncio.gather(*(connections.ask(answers, "/v1/jobs?limit=1") for _ in range(BURST)))
        figure(name, "seconds", time.perf_counter() - began, "s")
    connections.close()
    note(name, f"{dict(answers.statuses)}; health {dict(health.statuses)}")
    figure(name, "failures", answers.failures + health.failures, "1")
    figure(name, "refused_with_retry_after", answers.statuses["503 retry"], "1")
    figure(name, "health_milliseconds_max", health.percentile(1.0), "ms")


def _training(name: str, service: Service, target: Target, seconds: float) -> None:
    journal = RunDir(service.runs / "jobs" / target.job_id).journal
    before = _step_seconds_alone(journal, seconds / 2)
    began = time.time()
    used = _processor_seconds(service)
    kinds = asyncio.run(_load(target, seconds))
    used = {who: after - used[who] for who, after in _processor_seconds(service).items()}
    loaded = _step_seconds(journal, began, time.time())
    alone = (before + _step_seconds_alone(journal, seconds / 2)) / 2
    for kind, answers in kinds.items():
        note(name, f"{kind}: {dict(answers.statuses)}")
        if answers.seconds:
            figure(name, f"{kind}_milliseconds_p50", answers.percentile(0.5), "ms")
            figure(name, f"{kind}_milliseconds_p99", answers.percentile(0.99), "ms")
    answered = sum(len(kinds[kind].seconds) for kind in ("read", "submit"))
    for who, taken in used.items():  # processor time does not depend on other programs
        figure(name, f"{who}_processor_milliseconds", 1000.0 * taken / answered, "ms a request")
    figure(name, "failures", sum(answers.failures for answers in kinds.values()), "1")
    refused = sum(answers.statuses["503 retry"] for answers in kinds.values())
    figure(name, "refused_with_retry_after", refused, "1")
    log = (service.logs / "api.log").read_text(errors="replace")
    figure(name, "database_is_locked", log.count("database is locked"), "1")
    figure(name, "step_milliseconds", 1000 * loaded, "ms", "without load", alone / loaded)


def _processor_seconds(service: Service) -> dict[str, float]:
    """Processor seconds of the API and of this program, which share a core."""
    api = service.parts["api"].pid
    assert api is not None
    return {"api": processor_seconds(api), "load": processor_seconds(os.getpid())}


async def _load(target: Target, seconds: float) -> dict[str, Answers]:
    kinds = {kind: Answers() for kind in ("read", "submit", "stream", "event", "download")}
    stream = f"/v1/jobs/{target.job_id}/events/stream"
    async with contextlib.AsyncExitStack() as stack:
        kinds["health"] = stack.enter_context(_watched_health(target.port))
        for number in range(STREAMS):
            reader = await stack.enter_async_context(
                _open_response(target.port, stream, kinds["stream"])
            )
            drain = (
                _time_events(reader, kinds["event"]) if number < TIMED_STREAMS else _drain(reader)
            )
            stack.callback(asyncio.create_task(drain).cancel)
        for _ in range(STALLED):
            opened = _open_response(target.port, target.download, kinds["download"])
            await stack.enter_async_context(opened)
        connections = stack.enter_context(contextlib.closing(Connections(target.port)))
        asked = []
        total = int(seconds * READS_PER_SECOND)
        began = time.perf_counter()
        for number in range(total):
            delay = began + number / READS_PER_SECOND - time.perf_counter()
            await asyncio.sleep(max(0.0, delay))
            path = target.reads[number % len(target.reads)]
            asked.append(asyncio.create_task(connections.ask(kinds["read"], path)))
            if _submits_until(number + 1) > _submits_until(number):
                body = json.dumps(SPEC).encode()
                submit = connections.ask(kinds["submit"], "/v1/jobs", body)
                asked.append(asyncio.create_task(submit))
        await asyncio.gather(*asked)
    return kinds


def _submits_until(number: int) -> int:
    """Number of submits that are due before read `number`.

    There are SUBMITS_PER_SECOND submits per second, but at most as many as reads.
    """
    return -(-number * min(SUBMITS_PER_SECOND, READS_PER_SECOND) // READS_PER_SECOND)


@contextlib.contextmanager
def _watched_health(port: int) -> Iterator[Answers]:
    """Polls `/healthz` from a process of its own, as a load balancer does.

    If the load generator polled it, an answer would wait until the generator has handled other
    answers, and this wait would be measured. The yielded answers are complete after the block.
    """
    answers = Answers()
    command = python_command("benchmarks.health_watch", str(port))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as watch:
        assert watch.stdout is not None
        watch.stdout.readline()  # it has started
        try:
            yield answers
        finally:
            found = json.loads(watch.communicate()[0])
            answers.seconds, answers.statuses = found["seconds"], Counter(found["statuses"])


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Connections:
    """Connections to the service; a request uses an idle one, or opens one if there is none."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[Streams] = []

    async def open(self, count: int) -> None:
        """Opens idle connections."""
        for _ in range(count):
            self._idle.append(await asyncio.open_connection("127.0.0.1", self._port))

    async def ask(self, answers: Answers, path: str, body: bytes | None = None) -> None:
        """Sends one request and reads the whole answer."""
        began, status = time.perf_counter(), "none"
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(REQUEST_SECONDS):
                status = await self._send(_request(path, body))
        answers.add(time.perf_counter() - began, status)

    async def _send(self, request: bytes) -> str:
        while self._idle and self._idle[-1][0].at_eof():  # the service closes idle connections
            self._idle.pop()[1].close()
        if not self._idle:
            await self.open(1)
        reader, writer = self._idle.pop()
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = CONTENT_LENGTH.search(head)
            assert length is not None, f"an answer without a length: {head!r}"
            await reader.readexactly(int(length[1]))
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return _status(head)

    def close(self) -> None:
        """Closes the idle connections."""
        for _, writer in self._idle:
            writer.close()


@contextlib.asynccontextmanager
async def _open_response(
    port: int, path: str, answers: Answers
) -> AsyncIterator[asyncio.StreamReader]:
    """Requests a long response and reads its headers; it stalls if nobody reads its body."""
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 12)
    writer.write(_request(path))
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), REQUEST_SECONDS)
    answers.add(time.perf_counter() - began, _status(head))
    try:
        yield reader
    finally:
        writer.close()


async def _drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 16):
        pass


async def _time_events(reader: asyncio.StreamReader, answers: Answers) -> None:
    """Reads a stream; adds the seconds between the time of each new event and its arrival."""
    began = time.time()
    while line := await reader.readline():
        if line.startswith(b"data:"):
            moment = datetime.fromisoformat(json.loads(line[5:])["time"]).timestamp()
            if moment > began:
                answers.add(time.time() - moment, "200")


def _request(path: str, body: bytes | None = None) -> bytes:
    method = "GET" if body is None else "POST"
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + (body or b"")


def _status(head: bytes) -> str:
    if not head.startswith(b"HTTP/1.1 "):
        return "none"
    status = head[9:12].decode()
    return "503 retry" if status == "503" and b"\r\nretry-after:" in head.lower() else status


def _step_seconds_alone(journal: Path, seconds: float) -> float:
    """Mean seconds per step in a period without load that begins now."""
    began = time.time()
    time.sleep(seconds)
    return _step_seconds(journal, began, time.time())


def _step_seconds(journal: Path, begin: float, end: float) -> float:
    """Mean seconds per step between two times."""
    steps: list[tuple[float, int]] = []
    offset = 0
    while events := read_journal(journal, offset=offset):
        offset = events[-1][1]
        for event, _ in events:
            moment = event.time.timestamp()
            is_step = event.type == "metrics" and "train/loss" in event.data["values"]
            if is_step and begin <= moment <= end:
                steps.append((moment, event.data["step"]))
    if len(steps) < 2:
        raise RuntimeError("fewer than two steps in the window: raise BABYLM_BENCH_SECONDS")
    return (steps[-1][0] - steps[0][0]) / (steps[-1][1] - steps[0][1])
