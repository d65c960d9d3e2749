"""The training step against Hugging Face's Trainer and a plain loop, a process each, in turn.

BABYLM_BENCH_ROUNDS (3), BABYLM_BENCH_STEPS (3, the first is not timed) and BABYLM_BENCH_BATCH
(8 sequences) set the size. Each figure is a median over the rounds, each ratio the median of the
rounds' own ratios, since the machine may be shared. BABYLM_BENCH_CLOCK=cpu runs one thread and
counts its seconds on the processor instead of the wall, which a neighbour changes less.
"""

import json
import os
import subprocess
import sys
from statistics import median
from typing import Any

from benchmarks.report import figure, note, wanted
from core.training.device import has_bf16_units

MODELS = ("gemma2-10m", "llama4-10m", "llama4-10m-dense", "olmo2-10m")
NAMES = tuple(f"train/{model}/{precision}" for model in MODELS for precision in ("fp32", "bf16"))
BASELINES = ("upstream", "trainer", "plain")
LOSS_TOLERANCE = {"fp32": 1e-3, "bf16": 2e-2}
"""Of the first loss, relative. The Trainer logs four digits."""

Result = dict[str, float]


def run(only: str | None) -> None:
    for name in wanted(NAMES, only):
        _, model, precision = name.split("/")
        if precision == "bf16" and not has_bf16_units():
            note(
                name,
                "left out: this machine has no bf16 instructions and would emulate them. On one "
                f"that has: make bench ONLY={name}",
            )
            continue
        compare(name, model, precision)


def compare(name: str, model: str, precision: str) -> None:
    rounds = [
        {way: contend(way, model, precision) for way in ("ours", *BASELINES)}
        for _ in range(int(os.environ.get("BABYLM_BENCH_ROUNDS", "3")))
    ]
    check_losses(name, rounds[0], LOSS_TOLERANCE[precision])
    speed = median(result["ours"]["tokens_per_second"] for result in rounds)
    for baseline in BASELINES:
        ratio = median(
            result["ours"]["tokens_per_second"] / result[baseline]["tokens_per_second"]
            for result in rounds
        )
        figure(name, "tokens_per_second", speed, "token/s", baseline, ratio)
    figure(name, "mfu", median(result["ours"]["mfu"] for result in rounds), "1")
    for way in BASELINES:
        value = median(result[way]["mfu"] for result in rounds)
        note(name, f"mfu of {way}: {value:.3f} of the peak of its own precision")
    memory = median(result["ours"]["memory_peak_bytes"] for result in rounds)
    for baseline in BASELINES:
        other = median(result[baseline]["memory_peak_bytes"] for result in rounds)
        figure(name, "memory_peak_bytes", memory, "byte", baseline, other / memory)


def check_losses(name: str, results: dict[str, Result], tolerance: float) -> None:
    """Raises AssertionError where a contender computes something else."""
    expected = results["plain"]["first_loss"]
    for way, result in results.items():
        loss = result["first_loss"]
        assert abs(loss - expected) <= tolerance * expected, f"{name}: {way} {loss}, not {expected}"


def contend(way: str, model: str, precision: str) -> Result:
    command = [sys.executable, "-m", "benchmarks.contender", way, model, "--precision", precision]
    command += ["--batch-size", os.environ.get("BABYLM_BENCH_BATCH", "8")]
    command += ["--steps", os.environ.get("BABYLM_BENCH_STEPS", "3")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    note(f"{model}/{precision}", f"{way}: {result['tokens_per_second']:.0f} token/s, {result}")
    return result
