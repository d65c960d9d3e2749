"""Measures the service with 10,000 queued and 1,000 running jobs.

Each running job sends two events per second. API, database and Redis are real.
`benchmarks.scale_workers` simulates the workers: they supervise jobs and copy events as real
workers do, but no model is trained. The benchmark sends `GET /v1/jobs` READS_PER_SECOND times a
second, first without and then with the load of the workers. All parts share this machine, so the
processor time per event of each part is more meaningful than the rate.

BABYLM_BENCH_SECONDS (default 60) is the duration. BABYLM_BENCH_RUNNING (default 1000) and
BABYLM_BENCH_QUEUED (default 10000) are the numbers of running and queued jobs.
"""

import contextlib
import json
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil
from sqlalchemy import func
from sqlmodel import col, insert, select, update

from benchmarks.bench_load import Answers
from benchmarks.bench_overhead import family
from benchmarks.report import figure, note, wanted
from benchmarks.scale_workers import EVENTS_PER_SECOND
from chaos.postgres import Server, temporary_server
from chaos.processes import Service
from core.events.types import now
from core.process.program import python_command
from core.spec.job import JobSpec
from core.storage.rundir import RunDir
from jobs.database import Database
from jobs.resources import needs_of
from jobs.tables import Job, JobEvent, new_id

NAMES = ("scale/sqlite", "scale/postgres")
QUEUED = int(os.environ.get("BABYLM_BENCH_QUEUED", "10000"))
RUNNING = int(os.environ.get("BABYLM_BENCH_RUNNING", "1000"))
PROCESSES = 2
"""Number of processes that simulate workers. A single process could use only one core."""
READS_PER_SECOND = 5
QUIET_SECONDS = 15.0
READY_SECONDS = 300.0
PAGE = "/v1/jobs"


@dataclass(frozen=True)
class Load:
    """The figures of all simulated workers together."""

    sent: int
    delays: list[float]
    longest_gap: float
    leases_lost: int
    processor_seconds: float


def run(only: str | None = None) -> None:
    """Runs the benchmarks of `NAMES` that `only` selects, each on a service of its own."""
    seconds = float(os.environ.get("BABYLM_BENCH_SECONDS", "60"))
    for name in wanted(NAMES, only):
        folder = Path(tempfile.mkdtemp(prefix="scale-"))
        try:
            if name == "scale/sqlite":
                _measure(name, folder, None, seconds)
                continue
            with temporary_server(fsync=True) as server:
                if server is None:
                    note(name, "not measured: no Postgres server is installed")
                    continue
                _measure(name, folder, server, seconds)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _measure(name: str, folder: Path, server: Server | None, seconds: float) -> None:
    with _service(folder, server) as service:
        url = server.url if server else f"sqlite:///{service.runs / 'babylm.sqlite3'}"
        database = Database(url)
        job_ids = _fill(database)
        with _reading(service.url) as answers:
            time.sleep(QUIET_SECONDS)
        _report_reads(name, "without_load", answers)
        with _workers(service, url, job_ids, seconds) as workers:
            _start(database, job_ids)
            before, others = _processor_seconds(service, server), _busy_seconds()
            began = time.monotonic()
            with _reading(service.url) as answers:
                load = _results(workers)
            taken = time.monotonic() - began
            after = _processor_seconds(service, server)
        used = {who: after[who] - before[who] for who in before}
        used["workers"] = load.processor_seconds
        others = _busy_seconds() - others - sum(used.values())
        _report_reads(name, "with_load", answers)
        with database.read() as session:
            query = select(func.count()).where(col(JobEvent.type).in_(("metrics", "progress")))
            stored = session.exec(query).one()
            offsets = dict(session.exec(select(Job.id, Job.journal_offset)).all())
        database.dispose()
        waiting = sum(_events_after(service, job_id, offsets[job_id]) for job_id in job_ids)
    _report(name, load, stored, waiting, taken, used)
    note(name, f"other programs took {max(0.0, others) / taken:.2f} cores meanwhile")


@contextlib.contextmanager
def _service(folder: Path, server: Server | None) -> Iterator[Service]:
    """Runs API and Redis without real workers."""
    service = Service(folder, mode="embedded", workers=0, postgres=server)
    service.held.add("short")
    service.start()
    try:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                if httpx.get(f"{service.url}/healthz").status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            if time.monotonic() > deadline:
                raise RuntimeError(f"the API is not ready after {READY_SECONDS:.0f} s")
            time.sleep(0.2)
        yield service
    finally:
        service.stop()


def _fill(database: Database) -> list[str]:
    """Inserts all jobs as queued; returns the ids of the jobs that will run.

    The ids are a random sample, so that running jobs are spread over the pages of the list.
    """
    spec = JobSpec.model_validate({"preset": "sample"}).resolve()
    common = {"name": "simulated", "spec": spec.model_dump(mode="json"), **asdict(needs_of(spec))}
    first = now() - timedelta(days=1)
    rows = []
    for number in range(QUEUED + RUNNING):
        moment = first + timedelta(seconds=number)
        job = Job(id=new_id(), created_at=moment, queued_at=moment, **common)
        rows.append(job.model_dump())
    with database.write() as session:
        session.execute(insert(Job), rows)
    return random.Random(17).sample([row["id"] for row in rows], RUNNING)


def _start(database: Database, job_ids: list[str]) -> None:
    """Sets the jobs to `running`, as if workers had just claimed them."""
    with database.write() as session:
        started = update(Job).where(col(Job.id).in_(job_ids))
        session.exec(started.values(status="running", attempt=1, started_at=now()))


@contextlib.contextmanager
def _workers(
    service: Service, url: str, job_ids: list[str], seconds: float
) -> Iterator[list["subprocess.Popen[str]"]]:
    """The processes of the simulated workers.

    They are ready, and start when they read a line from standard input.
    """
    assert service.broker is not None
    command = python_command("benchmarks.scale_workers", str(service.runs), url)
    command += [service.broker.url, str(seconds)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    try:
        for number, process in enumerate(processes):
            _write(process, " ".join(job_ids[number::PROCESSES]))
            assert _read(process) == "ready"
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()  # also closes the pipes


def _results(processes: list["subprocess.Popen[str]"]) -> Load:
    for process in processes:
        _write(process, "go")
    parts = [Load(**json.loads(_read(process))) for process in processes]
    return Load(
        sent=sum(part.sent for part in parts),
        delays=sorted(delay for part in parts for delay in part.delays),
        longest_gap=max(part.longest_gap for part in parts),
        leases_lost=sum(part.leases_lost for part in parts),
        processor_seconds=sum(part.processor_seconds for part in parts),
    )


def _write(process: "subprocess.Popen[str]", line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _read(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@contextlib.contextmanager
def _reading(url: str) -> Iterator[Answers]:
    """Reads the list of jobs at a fixed rate; a slow answer delays no other request."""
    answers, done, lock = Answers(), threading.Event(), threading.Lock()

    def read() -> None:
        began, status = time.perf_counter(), "none"
        try:
            with httpx.Client(base_url=url, timeout=60.0) as client:
                status = str(client.get(PAGE).status_code)
        except httpx.HTTPError:
            pass
        with lock:
            answers.add(time.perf_counter() - began, status)

    def loop() -> None:
        readers = []
        while not done.wait(1.0 / READS_PER_SECOND):
            readers.append(threading.Thread(target=read, daemon=True))
            readers[-1].start()
        for reader in readers:
            reader.join()

    thread = threading.Thread(target=loop, name="reads")
    thread.start()
    try:
        yield answers
    finally:
        done.set()
        thread.join()


def _processor_seconds(service: Service, server: Server | None) -> dict[str, float]:
    pids = {name: service.parts[name].pid for name in ("api", "redis")}
    if server is not None:
        pids["postgres"] = server.pid
    return {
        name: sum(_spent(each) for each in family(pid))
        for name, pid in pids.items()
        if pid is not None
    }


def _spent(process: psutil.Process) -> float:
    """Processor seconds of all threads of the process, including threads that have ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def _busy_seconds() -> float:
    """Processor seconds that all cores of this machine have spent on programs and the kernel."""
    times: Any = psutil.cpu_times()  # its fields depend on the platform
    return float(times.user + times.nice + times.system)


def _report_reads(name: str, state: str, answers: Answers) -> None:
    note(name, f"GET {PAGE} {state}: {dict(answers.statuses)}")
    for label, share in (("p50", 0.5), ("p99", 0.99)):
        figure(name, f"list_jobs_{state}_milliseconds_{label}", answers.percentile(share), "ms")


def _events_after(service: Service, job_id: str, offset: int) -> int:
    """Number of events in the journal that are not yet database rows.

    The events are not lost: if the job's lease was lost, the job's next attempt copies them.
    """
    journal = RunDir(service.runs / "jobs" / job_id).journal
    return journal.read_bytes()[offset:].count(b"\n")


def _report(
    name: str, load: Load, stored: int, waiting: int, taken: float, used: dict[str, float]
) -> None:
    """Prints the figures; the events were stored in `taken` seconds."""
    delays = load.delays or [0.0]
    figure(name, "events_wanted_per_second", RUNNING * EVENTS_PER_SECOND, "1/s")
    figure(name, "events_stored_per_second", stored / taken, "1/s")
    figure(name, "events_waiting_in_journals", waiting, "1")
    figure(name, "events_lost", load.sent - stored - waiting, "1")
    figure(name, "leases_lost", load.leases_lost, "1")
    for label, share in (("p50", 0.5), ("p99", 0.99)):
        delay = delays[min(len(delays) - 1, int(share * len(delays)))]
        figure(name, f"event_delay_seconds_{label}", delay, "s")
    figure(name, "longest_heartbeat_gap_seconds", load.longest_gap, "s")
    for who, spent in sorted(used.items()):
        each = 1000.0 * spent / max(1, stored)
        figure(name, f"{who}_processor_milliseconds", each, "ms an event")
        figure(name, f"{who}_cores", spent / taken, "1")
