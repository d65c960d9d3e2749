"""Measures the training speed for several ways in which OpenMP threads wait for each other.

`threads/<setting>` measures the tokens per second of a 2M-parameter OLMo 2 that uses all CPUs,
under one setting of GNU OpenMP, in four situations:

- `alone`: one run, and nothing else
- `two`: two runs of this kind at once; the figures are the mean and the sum of their speeds
- `api`: one run next to a process that is busy for 2 of every 4 ms, like an API under load
- `desktop`: one run next to a process that is busy for 30 of every 100 ms in four threads, like a
  browser

The benchmark starts two runs for a setting and keeps both until the end; a run that does not take
part in a window is stopped (SIGSTOP). A window lasts BABYLM_BENCH_SECONDS (default 4). Each of
BABYLM_BENCH_ROUNDS rounds (default 3) has one window per situation, and the figure is the median of
the rounds. Other load on the machine lowers all figures, so compare only figures of one
invocation of this benchmark.
"""

import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.bench_overhead import signal_family
from benchmarks.report import figure, note, wanted
from chaos.workload import ROOT, write_corpus
from core.events.journal import read_journal
from core.process.program import python_command
from core.process.threads import thread_environment
from core.spec.job import JobSpec
from core.storage.rundir import RunDir

SETTINGS: dict[str, dict[str, str]] = {
    "default": {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "spin-30000": {"GOMP_SPINCOUNT": "30000"},
    "spin-10000": {"GOMP_SPINCOUNT": "10000"},
    "spin-3000": {"GOMP_SPINCOUNT": "3000"},
    "spin-1000": {"GOMP_SPINCOUNT": "1000"},
    "spin-300": {"GOMP_SPINCOUNT": "300"},
    "service": thread_environment({}),
}
"""Environment variables by setting. `service` is the setting of the service, see
`core.process.threads`."""
NAMES = tuple(f"threads/{name}" for name in SETTINGS)
SPEC: dict[str, Any] = {  # any JSON value
    "data": {"dataset": "sample", "validation": "sample_dev"},
    "tokenizer": {"vocab_size": 2048},
    "model": {
        "architecture": "olmo2",
        "hidden_size": 192,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
    },
    "training": {
        "seq_length": 128,
        "batch_size": 8,
        "epochs": 10_000,
        "max_steps": 1_000_000,
        "logging_steps": 1,
        "eval_steps": 1_000_000,
        "save_steps": 1_000_000,
        "eval_tokens": 200,
        "device": "cpu",
        "compile": False,
        "sample_prompts": [],
    },
}
"""The job of all runs. Its model has 2.1M parameters, because the sample text gives a vocabulary of
only 933 entries. The runs never reach `max_steps`, because the benchmark kills them."""
OTHER_WORK = {"api": ("4", "2"), "desktop": ("100", "30", "4")}
SETTLED_STEPS = 3
START_SECONDS = 180.0
POLL_SECONDS = 0.1


class NotStarted(Exception):
    """A run did not reach step SETTLED_STEPS in time, as happens on a busy machine."""


class Run:
    """A training process that is stopped between its windows."""

    def __init__(self, process: "subprocess.Popen[bytes]", rundir: RunDir) -> None:
        self._process, self._rundir = process, rundir
        self._offset, self._step = 0, 0

    def settle(self) -> None:
        """Waits for the first steps, then stops the process."""
        deadline = time.monotonic() + START_SECONDS
        while self.step() < SETTLED_STEPS:
            if time.monotonic() > deadline or self._process.poll() is not None:
                end = self._rundir.log.read_text(errors="replace")[-2000:]
                raise NotStarted(f"no {SETTLED_STEPS} steps in {START_SECONDS:.0f} s:\n{end}")
            time.sleep(POLL_SECONDS)
        self.send(signal.SIGSTOP)

    def send(self, number: signal.Signals) -> None:
        signal_family(self._process.pid, number)

    def step(self) -> int:
        """The number of the last step in the journal."""
        while events := read_journal(self._rundir.journal, offset=self._offset):
            self._offset = events[-1][1]
            for event, _ in events:
                if event.type == "metrics" and "train/loss" in event.data["values"]:
                    self._step = event.data["step"]
        return self._step


def run(only: str | None = None) -> None:
    """Measures the selected settings, one after the other."""
    folder = Path(tempfile.mkdtemp(prefix="threads-"))
    write_corpus(folder / "data")
    try:
        for name in wanted(NAMES, only):
            try:
                _measure(name, folder, SETTINGS[name.removeprefix("threads/")])
            except NotStarted as error:
                note(name, f"left out: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measure(name: str, folder: Path, setting: dict[str, str]) -> None:
    seconds = float(os.environ.get("BABYLM_BENCH_SECONDS", "4"))
    rates: dict[str, list[float]] = defaultdict(list)
    load = os.getloadavg()[0]
    with ExitStack() as stack:
        pair: list[Run] = []
        for number in range(2):  # in sequence: two runs that start together may need minutes
            pair.append(stack.enter_context(_started(folder, setting, number)))
            pair[-1].settle()
        first, second = pair
        for _ in range(int(os.environ.get("BABYLM_BENCH_ROUNDS", "3"))):
            rates["alone"] += _window([first], seconds)
            both = _window([first, second], seconds)
            rates["two_each"].append(statistics.mean(both))
            rates["two_together"].append(sum(both))
            for kind, pattern in OTHER_WORK.items():
                with _busy(pattern):
                    rates[f"beside_{kind}"] += _window([first], seconds)
    note(name, f"{setting or 'no variables'}; load average at first {load:.1f}")
    for metric, found in rates.items():
        figure(name, metric, statistics.median(found), "token/s")


def _window(runs: list[Run], seconds: float) -> list[float]:
    """Tokens per second of each of these runs, while the other runs are stopped."""
    training = SPEC["training"]
    before = [each.step() for each in runs]
    began = time.monotonic()
    for each in runs:
        each.send(signal.SIGCONT)
    time.sleep(seconds)
    for each in runs:
        each.send(signal.SIGSTOP)
    elapsed = time.monotonic() - began
    tokens = training["batch_size"] * training["seq_length"]
    return [
        (each.step() - first) * tokens / elapsed for each, first in zip(runs, before, strict=True)
    ]


@contextlib.contextmanager
def _started(folder: Path, setting: dict[str, str], number: int) -> Iterator[Run]:
    rundir = RunDir(Path(tempfile.mkdtemp(prefix=f"run-{number}-", dir=folder)))
    rundir.spec.write_text(JobSpec.model_validate(SPEC).resolve().model_dump_json())
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))
    }
    command = python_command("core.run", str(rundir.root))
    command += ["--data-dir", str(folder / "data"), "--cache-dir", str(folder / "cache")]
    with rundir.log.open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=kept | setting, stdout=log, stderr=log)
    run = Run(process, rundir)
    try:
        yield run
    finally:
        run.send(signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def _busy(pattern: tuple[str, ...]) -> Iterator[None]:
    process = subprocess.Popen(python_command("benchmarks.busy", *pattern), cwd=ROOT)
    try:
        time.sleep(0.5)  # time for the program to start
        yield
    finally:
        process.kill()
        process.wait()
