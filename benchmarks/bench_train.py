"""Speed of our training step, compared with Hugging Face's Trainer and a plain loop.

Each way of training is a *contender* with its own process: `ours` and the *baselines* `upstream`,
`trainer` and `plain`, see `benchmarks.contender`. All contenders prepare first and stay alive. Then
each is timed alone, in turn, for BABYLM_BENCH_ROUNDS rounds (default 3). In a round a contender
takes BABYLM_BENCH_STEPS steps (default 3 on a CPU, 10 on a GPU) of BABYLM_BENCH_BATCH sequences
(default 8 on a CPU, the preset's micro-batch on a GPU).

On a GPU the contenders of a benchmark prepare in parallel, except the baselines of a 100M preset,
which need too much memory. BABYLM_BENCH_TOGETHER=1 prepares the contenders of all selected
benchmarks at once. On a CPU the contenders share the cores, so they prepare one after the other.

A speed is the median of the rounds, and a ratio of speeds is the median of the ratios of the
rounds, because the machine may be shared. Memory is the maximum of the rounds.
BABYLM_BENCH_CLOCK=cpu uses one thread and measures CPU time instead of wall time, because other
load changes CPU time less.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from types import TracebackType
from typing import Any, Self

import torch

from benchmarks.report import figure, note, wanted
from core.process.program import python_command
from core.training.execution.device import has_bf16_units

MODELS = ("gemma2-10m", "llama4-10m", "llama4-10m-dense", "olmo2-10m")
LARGE_MODELS = ("gemma2-100m", "llama4-100m", "olmo2-100m")
PRECISIONS = ("fp32", "bf16")
NAMES = tuple(
    f"train/{model}/{precision}" for model in MODELS + LARGE_MODELS for precision in PRECISIONS
)
BASELINES = ("upstream", "trainer", "plain")
WAYS = ("ours", *BASELINES)
LOSS_TOLERANCE = {"fp32": 1e-3, "bf16": 2e-2}
"""Maximum relative difference between the first losses of two contenders, by precision."""
OPTIONS = {"--steps": "BABYLM_BENCH_STEPS", "--batch-size": "BABYLM_BENCH_BATCH"}
UPSTREAM_ENVIRONMENT = {"CUDA_LAUNCH_BLOCKING": "1"}
"""Environment variables of the upstream scripts. They make the host wait for every kernel of a GPU,
and have no effect on a CPU."""
LOCK_VARIABLE, LOCK_FILE = "BABYLM_BENCH_LOCK", tempfile.NamedTemporaryFile()  # noqa: SIM115
"""The lock of the baselines, see `LOCK_VARIABLE` in `benchmarks.contender`."""
END_SECONDS = 30.0
"""Maximum seconds from closing the input of a contender until it exits. After this time it is
killed."""
ERROR_CHARACTERS = 2000

Result = dict[str, Any]
"""A line of JSON from a contender."""
Round = dict[str, Result]
"""The results of one round, by contender."""


class ContenderDied(Exception):
    """A contender ended unexpectedly; the message is the end of its standard error."""


class Contender:
    """A way of training in its own process, which waits while the others are timed.

    The process reads its standard input, so it ends by itself when this process ends.
    """

    def __init__(self, way: str, model: str, precision: str) -> None:
        command = python_command("benchmarks.contender", way, model)
        command += ["--precision", precision]
        for option, variable in OPTIONS.items():
            if variable in os.environ:
                command += [option, os.environ[variable]]
        # An unread pipe would fill and block the process.
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ
            | ({LOCK_VARIABLE: LOCK_FILE.name} if model in LARGE_MODELS else {})
            | (UPSTREAM_ENVIRONMENT if way == "upstream" else {}),
        )

    def receive(self) -> Result:
        """The next message. Raises ContenderDied if the output has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            result: Result = json.loads(line)
            return result
        status = self._process.wait()
        self._errors.seek(0)
        raise ContenderDied(f"exit status {status}\n{self._errors.read()[-ERROR_CHARACTERS:]}")

    def go(self) -> Result:
        """Runs one timed window. Raises ContenderDied if the contender ends during the window."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `receive` then raises
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        return self.receive()

    def end(self) -> None:
        """Asks the contender to end, without waiting."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self.end()
        if kind is not None:
            self._process.kill()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()


class Contest:
    """The contenders of one benchmark. A contender that dies is reported and then excluded."""

    def __init__(self, name: str, stack: ExitStack, *, in_turn: bool) -> None:
        """Starts the contenders. With `in_turn`, each starts after the previous one is ready."""
        self.name = name
        self._contenders: dict[str, Contender] = {}
        self._losses: dict[str, float] = {}
        _, model, self._precision = name.split("/")
        for way in WAYS:
            self._contenders[way] = stack.enter_context(Contender(way, model, self._precision))
            if in_turn:
                self._wait_for(way)

    def wait(self) -> None:
        """Waits until all contenders are ready."""
        for way in [way for way in self._contenders if way not in self._losses]:
            self._wait_for(way)

    def measure(self) -> bool:
        """Times all contenders in turn and prints the figures; False if `ours` has no figures."""
        try:
            check_losses(self.name, self._losses, LOSS_TOLERANCE[self._precision])
        except AssertionError as error:
            reason = "the contenders compute different first losses"
            note(self.name, f"no figures, because {reason}: {error}")
            return False
        rounds: list[Round] = []
        for _ in range(int(os.environ.get("BABYLM_BENCH_ROUNDS", "3"))):
            if "ours" not in self._contenders:
                return False
            results = {way: self._attempt(way, Contender.go) for way in list(self._contenders)}
            rounds.append({way: result for way, result in results.items() if result is not None})
        for contender in self._contenders.values():
            contender.end()
        if "ours" not in self._contenders:
            return False
        print_figures(self.name, rounds, [way for way in BASELINES if way in self._contenders])
        return True

    def _wait_for(self, way: str) -> None:
        ready = self._attempt(way, Contender.receive)
        if ready is not None:
            self._losses[way] = ready["first_loss"]

    def _attempt(self, way: str, act: Callable[[Contender], Result]) -> Result | None:
        try:
            result = act(self._contenders[way])
        except ContenderDied as death:
            note(self.name, f"{way} is left out, because it ended with {death}")
            del self._contenders[way]
            self._losses.pop(way, None)
            return None
        note(self.name, f"{way}: {result}")
        return result


def run(only: str | None) -> None:
    """Runs the selected benchmarks; exits with an error if `ours` has no figures in one of them."""
    is_cuda = torch.cuda.is_available()
    names = [name for name in wanted(NAMES, only) if is_measured_here(name, only, is_cuda=is_cuda)]
    together = is_cuda and os.environ.get("BABYLM_BENCH_TOGETHER") == "1"
    failed = []
    for group in [names] if together else [[name] for name in names]:
        with ExitStack() as stack:
            contests = [Contest(name, stack, in_turn=not is_cuda) for name in group]
            for contest in contests:
                contest.wait()
            failed += [contest.name for contest in contests if not contest.measure()]
    if failed:
        sys.exit(f"no figures for {', '.join(failed)}")


def is_measured_here(name: str, only: str | None, *, is_cuda: bool) -> bool:
    """Whether to run the benchmark on this machine; reports the reason if not."""
    _, model, precision = name.split("/")
    why = None
    if precision == "bf16" and not has_bf16_units():
        why = (
            "this machine has no bf16 instructions and would emulate them. On a machine "
            f"that has them, run: make bench ONLY={name}"
        )
    elif model in LARGE_MODELS and not is_cuda:
        why = "a step takes minutes on a CPU"
    elif precision == "fp32" and is_cuda and only != name:
        why = f"fp32 is not used on a GPU. To measure it, run: make bench ONLY={name}"
    if why is not None:
        note(name, f"left out: {why}")
    return why is None


def print_figures(name: str, rounds: list[Round], baselines: list[str]) -> None:
    """Prints the figures; `baselines` are the contenders that completed the last round."""

    def middle(way: str, metric: str) -> float:
        return float(median(results[way][metric] for results in rounds))

    speed = middle("ours", "tokens_per_second")
    for baseline in baselines:
        ratio = median(
            results["ours"]["tokens_per_second"] / results[baseline]["tokens_per_second"]
            for results in rounds
        )
        figure(name, "tokens_per_second", speed, "token/s", baseline, ratio)
    figure(name, "mfu", middle("ours", "mfu"), "1")
    for way in baselines:
        value = middle(way, "mfu")
        note(name, f"mfu of {way}: {value:.3f} of the peak of its own precision")
    memory = max(results["ours"]["memory_peak_bytes"] for results in rounds)
    for baseline in baselines:
        other = max(results[baseline]["memory_peak_bytes"] for results in rounds)
        figure(name, "memory_peak_bytes", memory, "byte", baseline, other / memory)


def check_losses(name: str, losses: dict[str, float], tolerance: float) -> None:
    """Raises AssertionError if a contender computes a different loss."""
    expected = losses.get("plain", losses.get("ours", 0.0))
    for way, loss in losses.items():
        assert abs(loss - expected) <= tolerance * expected, f"{name}: {way} {loss}, not {expected}"
