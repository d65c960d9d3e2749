"""A round: runs jobs under faults until all jobs have ended, and then checks the results."""

import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from chaos.check import Checker
from chaos.client import POLL_SECONDS, Client
from chaos.faults import FAULTS, Target, set_clock
from chaos.injector import Injector
from chaos.postgres import Server, temporary_server
from chaos.processes import Sampler, Service
from chaos.workload import golden, spec_of, write_corpus
from jobs.copy import copy_database
from jobs.errors import CopyRefused

SETTINGS = {
    "BABYLM_LEASE_SECONDS": "6",
    "BABYLM_HEARTBEAT_SECONDS": "0.5",
    "BABYLM_MAX_ATTEMPTS": "10000",
}
"""Settings of the service in a round.

The lease is shorter than the default, to save time. The number of attempts is practically
unlimited, because the faults end more attempts than any real host would."""
FAULT_SECONDS = (0.8, 2.0)
FAULTS_A_JOB = 4
"""A round may inject this number of faults for each finished job, and for two further jobs. The
number is limited, because most faults cause another attempt, and the start of an attempt takes
seconds, mostly to load torch."""
SUBMIT_SECONDS = (0.2, 2.0)
SETTLE_SECONDS = 240.0
"""Maximum seconds from the last fault to the end of a job; after that the job counts as stuck.

The limit is high, because the machine may be busy. The report has the measured duration."""
ROUND_SECONDS = 900.0
COPY_SECONDS = 30.0
DISK_BYTES = 192 << 20
CLOCK_SOURCE = Path(__file__).with_name("clock.c")


@dataclass
class Round:
    """The result of a round."""

    seed: int
    mode: str
    store: str = "sqlite"
    jobs: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    unavailable: list[str] = field(default_factory=list)
    """Faults that are not possible on this machine or in this mode."""
    attempts: int = 0
    interrupted_jobs: int = 0
    revivals: dict[str, int] = field(default_factory=dict)
    looks: int = 0
    """Number of checks whether two processes train one job."""
    violations: list[str] = field(default_factory=list)
    settle_seconds: float = 0.0
    seconds: float = 0.0


def run_round(
    seed: int,
    *,
    num_jobs: int,
    mode: str,
    goldens: Path,
    store: str = "sqlite",
    keep: bool = False,
) -> Round:
    """Runs a round in its own folder; keeps a copy if there are violations or `keep` is set."""
    result = Round(seed=seed, mode=mode, store=store)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    began = time.monotonic()
    with _small_disk(folder / "runs") as is_small:
        try:
            with ExitStack() as stack:
                server = stack.enter_context(temporary_server()) if store == "postgres" else None
                if store == "postgres" and server is None:
                    raise RuntimeError("no Postgres server is installed")
                _run(result, folder, num_jobs, goldens, is_small_disk=is_small, postgres=server)
        except Exception as error:  # a failed round must not stop the other rounds
            result.violations.append(f"{type(error).__name__}: {error}")
        if result.violations or keep:
            kept = Path(f"{folder}-kept")
            shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("*.sock", "cache"))
            result.violations.append(f"see {kept}")
    shutil.rmtree(folder, ignore_errors=True)
    result.seconds = round(time.monotonic() - began, 1)
    return result


@contextmanager
def _small_disk(folder: Path) -> Iterator[bool]:
    """Mounts a small file system on `folder`, if this user may do so."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _run(
    result: Round,
    folder: Path,
    num_jobs: int,
    goldens: Path,
    *,
    is_small_disk: bool,
    postgres: Server | None,
) -> None:
    rng = random.Random(result.seed)
    write_corpus(folder / "data")
    service = Service(folder, mode=result.mode, settings=SETTINGS, postgres=postgres)
    client = Client(service.url)
    target = Target(service, client, rng, is_small_disk=is_small_disk)
    target.clock_file = _replace_clock(service, folder)
    numbers = {f"{result.seed}-{n}": result.seed * num_jobs + n for n in range(num_jobs)}
    sampler = Sampler(service.runs / "jobs")
    injector = Injector(target, seconds=FAULT_SECONDS)
    service.start()
    try:
        sampler.start()
        submitter = threading.Thread(target=_submit, args=(target, numbers), daemon=True)
        submitter.start()
        injector.start()
        _until_done(client, numbers, result, injector)
        submitter.join()
    finally:
        injector.stop()
        sampler.stop()
        for part in service.parts.values():
            part.send(signal.SIGCONT)
        service.stop()
        client.close()
    left = service.left_over()
    if postgres is not None:
        _copy_for_checker(postgres, service.runs)
    checker = Checker(service.runs, damaged=target.damaged)
    checker.check(client.jobs, {key: golden(n, folder=goldens) for key, n in numbers.items()})
    result.jobs, result.faults = len(client.jobs), injector.counts
    result.unavailable = _unavailable(target)
    result.attempts, result.interrupted_jobs = checker.attempts, checker.interrupted
    result.revivals, result.looks = client.revivals, sampler.checks
    result.violations += client.problems + checker.violations
    result.violations += [f"two trainers: {double}" for double in sampler.doubles]
    result.violations += [f"leftover process: {line}" for line in left]


def _copy_for_checker(server: Server, runs: Path) -> None:
    """Copies the rows to SQLite for the checker.

    Retries, because the copy is refused while workers look alive. Killed workers look alive for
    some seconds.
    """
    deadline = time.monotonic() + COPY_SECONDS
    while True:
        try:
            copy_database(server.url, f"sqlite:///{runs / 'babylm.sqlite3'}")
            return
        except CopyRefused:
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)


def _submit(target: Target, numbers: dict[str, int]) -> None:
    rng = random.Random(target.random.random())
    for key, number in numbers.items():
        spec = spec_of(number)
        target.client.submit(key, spec)
        target.specs[key] = spec
        time.sleep(rng.uniform(*SUBMIT_SECONDS))


def _until_done(client: Client, numbers: dict[str, int], result: Round, injector: Injector) -> None:
    """Watches the jobs. Ends the faults when one job is left, and then times this last job."""
    done: set[str] = set()
    deadline = time.monotonic() + ROUND_SECONDS
    calm_at: float | None = None
    while len(done) < len(numbers):
        for key, job_id in list(client.jobs.items()):
            if key not in done and client.tend(job_id):
                done.add(key)
        injector.allow(FAULTS_A_JOB * (len(done) + 2))
        is_enough = len(done) >= len(numbers) - 1 or time.monotonic() > deadline
        if calm_at is None and is_enough and len(client.jobs) == len(numbers):
            injector.stop()
            calm_at = time.monotonic()
        if calm_at is not None and time.monotonic() - calm_at > SETTLE_SECONDS:
            left = sorted(set(numbers) - done)
            result.violations.append(f"stuck {SETTLE_SECONDS:.0f} s after the last fault: {left}")
            break
        time.sleep(POLL_SECONDS)
    if calm_at is None:
        injector.stop()
        calm_at = time.monotonic()
    result.settle_seconds = round(time.monotonic() - calm_at, 1)


def _replace_clock(service: Service, folder: Path) -> Path | None:
    """Gives a worker a clock that adds the offset in the returned file; None without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    library, file = folder / "clock.so", folder / "clock"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(CLOCK_SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    set_clock(file, 0.0)
    worker = service.worker_parts()[-1]
    worker.environment = worker.environment | {
        "LD_PRELOAD": str(library),
        "BABYLM_CLOCK_FILE": str(file),
    }
    return file


def _unavailable(target: Target) -> list[str]:
    missing = []
    if not target.is_small_disk:
        missing.append("fill disk (mounting a small file system is not permitted)")
    if target.clock_file is None:
        missing.append("jump clock (no C compiler)")
    if target.service.postgres is None:
        missing.append("restart postgres (the store is SQLite)")
    if target.service.broker is None:
        missing += [name for name in FAULTS if "redis" in name or "calls" in name]
    return missing


def as_line(result: Round) -> dict[str, object]:
    """A round as JSON."""
    return asdict(result)
