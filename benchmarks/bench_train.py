"""The training step against Hugging Face's Trainer and a plain loop, a process each.

The processes prepare first and stay alive; then each is timed alone, in turn, for
BABYLM_BENCH_ROUNDS (3) rounds of a window of BABYLM_BENCH_STEPS steps (3 on a CPU, 10 on a GPU) of
BABYLM_BENCH_BATCH sequences (8 on a CPU, the preset's micro-batch on a GPU). On a GPU the ways of
one benchmark prepare side by side, the baselines of a 100M preset one at a time because of its
memory, and with BABYLM_BENCH_TOGETHER=1 those of all benchmarks that are wanted. On a CPU they
prepare one after the other, because they would share its cores.

Each figure is a median over the rounds, each ratio the median of the rounds' own ratios, since the
machine may be shared. BABYLM_BENCH_CLOCK=cpu runs one thread and counts its seconds on the
processor instead of the wall, which a neighbour changes less.
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
"""Of the first loss, relative."""
OPTIONS = {"--steps": "BABYLM_BENCH_STEPS", "--batch-size": "BABYLM_BENCH_BATCH"}
UPSTREAM_ENVIRONMENT = {"CUDA_LAUNCH_BLOCKING": "1"}
"""As upstream's own scripts have it: the host waits for every kernel. A CPU does not know it."""
LOCK_VARIABLE, LOCK_FILE = "BABYLM_BENCH_LOCK", tempfile.NamedTemporaryFile()  # noqa: SIM115
"""See `benchmarks.contender`."""
END_SECONDS = 30.0
"""A contender that has not ended so long after its input did is killed."""
ERROR_CHARACTERS = 2000

Result = dict[str, Any]
"""A line of JSON from a contender."""
Round = dict[str, Result]
"""What each way reached."""


class ContenderDied(Exception):
    """A contender ended before it was asked to; the message is the end of its standard error."""


class Contender:
    """One way of training in a process of its own, which waits while the others are timed.

    It waits for its input, so it ends by itself when this process does, however that ends.
    """

    def __init__(self, way: str, model: str, precision: str) -> None:
        command = python_command("benchmarks.contender", way, model)
        command += ["--precision", precision]
        for option, variable in OPTIONS.items():
            if variable in os.environ:
                command += [option, os.environ[variable]]
        # A pipe that nobody reads meanwhile would fill and stop the process.
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

    def hear(self) -> Result:
        """What it says next. Raises ContenderDied where it says no more."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            result: Result = json.loads(line)
            return result
        status = self._process.wait()
        self._errors.seek(0)
        raise ContenderDied(f"exit status {status}\n{self._errors.read()[-ERROR_CHARACTERS:]}")

    def go(self) -> Result:
        """One timed window. Raises ContenderDied where it does not get to the end of it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # then there is nothing to hear either
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        return self.hear()

    def end(self) -> None:
        """Asks it to end, without waiting."""
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
    """The contenders of one benchmark. One that dies is noted and left out from then on."""

    def __init__(self, name: str, stack: ExitStack, *, in_turn: bool) -> None:
        """Starts them; `in_turn` waits for each to be ready before the next one starts."""
        self.name = name
        self._contenders: dict[str, Contender] = {}
        self._losses: dict[str, float] = {}
        _, model, self._precision = name.split("/")
        for way in WAYS:
            self._contenders[way] = stack.enter_context(Contender(way, model, self._precision))
            if in_turn:
                self._wait_for(way)

    def wait(self) -> None:
        """Until all are ready."""
        for way in [way for way in self._contenders if way not in self._losses]:
            self._wait_for(way)

    def measure(self) -> bool:
        """Times all in turn and prints the figures; False where there are none of ours."""
        try:
            check_losses(self.name, self._losses, LOSS_TOLERANCE[self._precision])
        except AssertionError as error:
            note(self.name, f"no figures, because not all compute the same: {error}")
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
        ready = self._attempt(way, Contender.hear)
        if ready is not None:
            self._losses[way] = ready["first_loss"]

    def _attempt(self, way: str, act: Callable[[Contender], Result]) -> Result | None:
        try:
            result = act(self._contenders[way])
        except ContenderDied as death:
            note(self.name, f"{way} is left out, it ended with {death}")
            del self._contenders[way]
            self._losses.pop(way, None)
            return None
        note(self.name, f"{way}: {result}")
        return result


def run(only: str | None) -> None:
    """Measures what is wanted; exits with an error at the end where one has no figures of ours."""
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
    """Whether this machine can, and should unless it is asked for; notes why not."""
    _, model, precision = name.split("/")
    why = None
    if precision == "bf16" and not has_bf16_units():
        why = (
            "this machine has no bf16 instructions and would emulate them. On one "
            f"that has: make bench ONLY={name}"
        )
    elif model in LARGE_MODELS and not is_cuda:
        why = "a step takes minutes on a CPU"
    elif precision == "fp32" and is_cuda and only != name:
        why = f"nobody trains in fp32 on a GPU. To measure it: make bench ONLY={name}"
    if why is not None:
        note(name, f"left out: {why}")
    return why is None


def print_figures(name: str, rounds: list[Round], baselines: list[str]) -> None:
    """`baselines` are those that reached the last round."""

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
    """Raises AssertionError where a contender computes something else."""
    expected = losses.get("plain", losses.get("ours", 0.0))
    for way, loss in losses.items():
        assert abs(loss - expected) <= tolerance * expected, f"{name}: {way} {loss}, not {expected}"
