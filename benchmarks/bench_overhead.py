"""Overhead of the service: trains the same job with `babylm train` and through the service.

`service/overhead` compares the steps that two sides take. One side is `babylm train`. The other
side is the service: API, Celery workers, Redis, and a client that follows the job. Both runs exist
during the whole measurement, but only one side runs at a time; the other is stopped (SIGSTOP).
The sides take turns in short windows, because on a shared machine the speed of the same run varies
by 15 % within minutes. Each window lasts WINDOW_SECONDS, and the windows alternate in the order
A B B A: ten pairs in each of BABYLM_BENCH_ROUNDS rounds (default 3).

The speed of a side is its number of steps divided by its running time between the last event before
its first window and the last event of its last window. A step that the end of a window interrupts
finishes in the next window of the same side, so no time is lost or counted twice. The standard
error in the notes is too large, because it is computed from whole steps per window. The notes also
give the CPU time of each process.
"""

import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.report import figure, note, wanted
from chaos.client import Client
from chaos.processes import Service
from chaos.workload import write_corpus
from core.events.journal import read_journal
from core.process.program import python_command
from core.spec.job import JobSpec
from core.storage.rundir import RunDir

NAMES = ("service/overhead",)
SPEC: dict[str, Any] = {
    "preset": "olmo2-10m",
    "data": {"dataset": "sample", "validation": "sample_dev"},
    "tokenizer": {"vocab_size": 512},
    "training": {"max_steps": 30_000, "epochs": 10_000, "logging_steps": 1},
}
"""The runs never reach `max_steps`: the benchmark kills them. The small vocabulary makes steps
short and events frequent."""
CPU_BATCH_SIZE = 8
"""Sequences per step on a CPU, as in `benchmarks.contender`. A GPU uses the preset's batch size."""
GPU_LOGGING_STEPS = 10
"""On a GPU a step takes milliseconds, so only every tenth step is logged."""
WINDOW_SECONDS = 4.0
"""Length of a window in seconds. The service is stopped during each window of the other side, so a
window must be shorter than every timeout of the service."""
PAIRS = 10
SETTLED_STEPS = 50
"""Number of steps before the first window. In these steps the run compiles and stores its first
events."""
START_SECONDS = 300.0
"""Maximum seconds until a run has taken SETTLED_STEPS steps."""
POLL_SECONDS = 0.05
LOG_CHARACTERS = 2000
CPUCLOCK_SCHED = 2
"""The number of this clock in include/linux/posix-timers.h of Linux."""


@dataclass
class Side:
    """One of the two sides: processes that can be stopped, and the journal of their run."""

    roots: dict[str, int]
    """Processes by name; their descendants also belong to the side."""
    journal: Path
    foreground: "subprocess.Popen[bytes]"
    """A process that ends when the run ends, and that writes the reason to `log`."""
    log: Path

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to all processes of the side, children before their parents."""
        for root in self.roots.values():
            signal_family(root, number)

    def seconds(self) -> dict[str, float]:
        """CPU seconds of each root process and its descendants; `run` is the training process."""
        taken: dict[str, float] = {}
        for name, root in self.roots.items():
            for process in family(root):
                part = "run" if "core.run" in process.cmdline() else name
                taken[part] = taken.get(part, 0.0) + processor_seconds(process.pid)
        return taken


class Windows:
    """Counts the steps of a side while it runs, and their time."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.steps: list[int] = []
        """Number of steps in each window."""
        self._offset, self._step, self._step_time = 0, 0, 0.0
        self._stopped = 0.0
        self._begun = 0.0
        """Seconds of the first counted step that passed before the first window."""

    def settle(self) -> None:
        """Waits until the run has taken SETTLED_STEPS steps, then stops the side.

        Raises:
            RuntimeError: If the run ends or takes longer than START_SECONDS.
        """
        deadline = time.monotonic() + START_SECONDS
        while self._last_step() < SETTLED_STEPS:
            if time.monotonic() > deadline or self.side.foreground.poll() is not None:
                words = self.side.log.read_text(errors="replace")[-LOG_CHARACTERS:]
                raise RuntimeError(f"the run did not get to step {SETTLED_STEPS}:\n{words}")
            time.sleep(POLL_SECONDS)
        self._stop()
        self._last_step()
        self._begun = self._stopped - self._step_time

    def take(self) -> None:
        """Runs one window."""
        before = self._last_step()
        self.side.send(signal.SIGCONT)
        time.sleep(WINDOW_SECONDS)
        self._stop()
        self.steps.append(self._last_step() - before)

    def rate(self) -> float:
        """Steps per second of all windows."""
        seconds = len(self.steps) * WINDOW_SECONDS
        return sum(self.steps) / (seconds + self._begun - (self._stopped - self._step_time))

    def _stop(self) -> None:
        self.side.send(signal.SIGSTOP)
        self._stopped = time.time()

    def _last_step(self) -> int:
        while events := read_journal(self.side.journal, offset=self._offset):
            self._offset = events[-1][1]
            for event, _ in events:
                if event.type == "metrics" and "train/loss" in event.data["values"]:
                    self._step, self._step_time = event.data["step"], event.time.timestamp()
        return self._step


def run(only: str | None = None) -> None:
    for name in wanted(NAMES, only):
        _measure(name)


def _measure(name: str) -> None:
    pairs = PAIRS * int(os.environ.get("BABYLM_BENCH_ROUNDS", "3"))
    spec = _spec()
    folder = Path(tempfile.mkdtemp(prefix="overhead-"))
    write_corpus(folder / "data")
    try:
        with ExitStack() as stack:
            alone = Windows(stack.enter_context(_alone(folder, spec)))
            alone.settle()
            served = Windows(stack.enter_context(_served(folder / "service", spec)))
            stack.callback(served.side.send, signal.SIGCONT)  # a stopped process ignores SIGTERM
            served.settle()
            before = served.side.seconds()
            for number in range(pairs):
                for windows in (alone, served) if number % 2 == 0 else (served, alone):
                    windows.take()
            _report(name, spec, alone, served)
            elapsed = pairs * WINDOW_SECONDS
            for part, seconds in served.side.seconds().items():
                share = (seconds - before.get(part, 0.0)) / elapsed
                note(name, f"{part} takes {share:.1%} of a core")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _spec() -> dict[str, Any]:
    if torch.cuda.is_available():
        return SPEC | {"training": SPEC["training"] | {"logging_steps": GPU_LOGGING_STEPS}}
    return SPEC | {"training": SPEC["training"] | {"batch_size": CPU_BATCH_SIZE}}


def _report(name: str, spec: dict[str, Any], alone: Windows, served: Windows) -> None:
    training = JobSpec.model_validate(spec).resolve().training
    figure(
        name,
        "tokens_per_second",
        served.rate() * training.batch_size * training.seq_length,
        "token/s",
        baseline="babylm train",
        ratio=served.rate() / alone.rate(),
    )
    ratios = [mine / other for mine, other in zip(served.steps, alone.steps, strict=True)]
    error = statistics.stdev(ratios) / len(ratios) ** 0.5
    note(name, f"{len(ratios)} pairs, standard error {error:.4f}")
    note(name, f"steps of each window: alone {alone.steps}, served {served.steps}")


@contextlib.contextmanager
def _alone(folder: Path, spec: dict[str, Any]) -> Iterator[Side]:
    written, output = folder / "spec.json", folder / "alone"
    written.write_text(json.dumps(spec))
    command = ["train", str(written), "--output", str(output)]
    command += ["--data-dir", str(folder / "data"), "--cache-dir", str(folder / "alone-cache")]
    with _command(command, folder / "alone.log") as process:
        roots = {"run": process.pid}
        yield Side(roots, RunDir(output).journal, process, folder / "alone.log")


@contextlib.contextmanager
def _served(folder: Path, spec: dict[str, Any]) -> Iterator[Side]:
    write_corpus(folder / "data")
    threads = {"OMP_NUM_THREADS": str(os.cpu_count())}  # as many as `babylm train` uses
    service = Service(folder, mode="embedded", workers=1, settings=threads)
    service.start()
    try:
        client = Client(service.url)  # waits for the service to start
        job_id = client.submit("overhead", spec)
        client.close()
        command = ["follow", job_id, "--url", service.url]
        with _command(command, folder / "follower.log") as follower:
            roots = {name: part.pid for name, part in service.parts.items() if part.pid}
            journal = RunDir(service.runs / "jobs" / job_id).journal
            roots |= {"follower": follower.pid}
            yield Side(roots, journal, follower, folder / "follower.log")
    finally:
        service.stop()


@contextlib.contextmanager
def _command(words: list[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs `babylm` during the block and kills it afterwards, because its result is not needed."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            python_command("babylm.main", *words),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        signal_family(process.pid, signal.SIGKILL)
        process.wait()


def processor_seconds(pid: int) -> float:
    """CPU seconds of a process, also of its threads that have ended; 0 if the process has ended.

    Reads the clock of the process (clock_getcpuclockid(3)), which counts nanoseconds. ps and psutil
    count in clock ticks, and so miss about half of the CPU time of a process that often runs for
    about a millisecond.
    """
    try:
        return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)
    except OSError:
        return 0.0


def family(pid: int) -> list[psutil.Process]:
    """A process and its descendants; empty if it has ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def signal_family(pid: int, number: signal.Signals) -> None:
    """Sends a signal to a process and its descendants, children before their parents."""
    for process in reversed(family(pid)):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
