"""One way of training, timed in its own process: `python -m benchmarks.contender WAY MODEL`.

All ways train the same architecture from the same weights on the same tokens. Each reports the loss
of its first step, so that the caller can check that all compute the same. The ways are:

- `ours`: the training step of this project, as in `babylm train`;
- `upstream`: Hugging Face's Trainer with the settings of the scripts that this project replaces:
  gradient checkpointing, a collator that checks and clamps token by token, and a callback that
  empties the cache. The precision is always fp16 on a GPU and fp32 on a CPU;
- `trainer`: the same Trainer without these three features, compiled if BABYLM_BENCH_COMPILE=1;
- `plain`: a training loop like nanoGPT's for the Hugging Face model, with a fused AdamW.

Starting takes a minute and a step takes milliseconds, so one process serves many rounds. After the
warm-up steps the process prints {"state": "ready", "first_loss": ...}. For every line `go` on
standard input it takes `--steps` steps in one timed window and prints the measurements. The process
exits at the end of the input.
Example: `echo go | python -m benchmarks.contender ours olmo2-10m`.
"""

import argparse
import contextlib
import fcntl
import itertools
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from core.checkpoints.model import build_model, quiet_transformers
from core.dataset.batches import Batch
from core.spec.job import JobSpec
from core.spec.plan import make_plan
from core.spec.presets import PRESETS
from core.training.components import build_components
from core.training.distributed.ranks import Ranks
from core.training.execution.device import (
    RSS_UNIT_BYTES,
    Device,
    choose_device,
    measured_peak_flops,
    prepare,
)
from core.training.execution.probe import Probe
from core.training.optimizers.builders import build_optimizer
from core.training.step import Stepper

BY_CPU = os.environ.get("BABYLM_BENCH_CLOCK") == "cpu"
"""True to use one thread and to measure CPU seconds, for a shared machine."""
CLOCK = time.process_time if BY_CPU else time.perf_counter
DENSE = "-dense"
"""Suffix of a preset's name that selects the model without experts."""
WARM_UP_STEPS = 2
"""Number of steps before a contender is ready. Two, because the Trainer reports the loss of the
first step only after the second step."""
LOCK_VARIABLE = "BABYLM_BENCH_LOCK"
"""Environment variable with the path of a lock file. A baseline holds the lock until it is ready,
because a GPU has memory for the preparation of one baseline at a time."""
CPU_BATCH_SIZE = 8
"""Default number of sequences per step on a CPU; a GPU uses the preset's micro-batch."""
NUM_BATCHES = 8
"""Number of different batches, which repeat."""

Batches = np.ndarray[Any, Any]
"""(NUM_BATCHES, B, T + 1) int64 token ids."""


class Watch:
    """Controls and times the steps: first the warm-up, then one window for each line of input."""

    def __init__(
        self, spec: JobSpec, device: Device, *, num_steps: int, alone: contextlib.ExitStack
    ) -> None:
        """`alone` holds the lock of the baselines until this contender is ready."""
        self._alone = alone
        self.first_loss: float | None = None
        self.details: dict[str, int] = {}
        """Further fields of the `ready` line."""
        self._spec = spec
        self._device = device
        self._num_steps = num_steps
        self._peak_flops = 0.0
        self._memory = 0

    def pace(self) -> Iterator[None]:
        """A generator that the caller resumes before each step; it ends after the last step.

        On a GPU the generator releases cached memory before each wait, because other contenders
        share the device. Therefore the first step after a wait allocates memory again; this step
        is not timed.
        """
        yield from itertools.repeat(None, WARM_UP_STEPS)
        self._rest()
        self._alone.close()
        say(state="ready", first_loss=self.first_loss, **self.details)
        for _ in sys.stdin:
            yield from itertools.repeat(None, 1 if self._device.is_cuda else 0)
            began = self._now()
            yield from itertools.repeat(None, self._num_steps)
            seconds = self._now() - began
            self._report(seconds)

    def _now(self) -> float:
        if self._device.is_cuda:
            torch.cuda.synchronize()
        return CLOCK()

    def _rest(self) -> None:
        """Records the peak of memory; called before `peak_flops` allocates matrices."""
        if self._device.is_cuda:
            self._memory = max(self._memory, torch.cuda.max_memory_allocated())
            torch.cuda.empty_cache()
        else:
            self._memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT_BYTES

    def _report(self, seconds: float) -> None:
        self._rest()
        self._peak_flops = max(self._peak_flops, peak_flops(self._device))
        if self._device.is_cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        training = self._spec.training
        tokens = self._num_steps * training.batch_size * training.seq_length / seconds
        flops = self._spec.model.flops_per_token(
            vocab_size=self._spec.tokenizer.vocab_size, seq_length=training.seq_length
        )
        say(
            tokens_per_second=tokens,
            mfu=tokens * flops / self._peak_flops,
            memory_peak_bytes=self._memory,
        )


def say(**line: Any) -> None:
    """Prints a message to the original standard output, because `sys.stdout` is redirected."""
    print(json.dumps(line), file=sys.__stdout__, flush=True)


def bench_spec(model: str, *, precision: str, batch_size: int | None) -> JobSpec:
    """A preset with batches of `batch_size` sequences. None means the preset's micro-batch."""
    name = model.removesuffix(DENSE)
    if batch_size is None:
        batch_size = PRESETS[name].spec["training"]["micro_batch_size"]
    training = {"precision": precision, "warmup_steps": 0, "batch_size": batch_size}
    body: dict[str, Any] = {"preset": name, "training": training}
    if model.endswith(DENSE):
        body["model"] = {"num_local_experts": 0}
    return JobSpec.model_validate(body).resolve()


def token_batches(spec: JobSpec) -> Batches:
    """Random tokens with frequencies that follow Zipf's law, as those of words do."""
    vocabulary, training = spec.tokenizer.vocab_size, spec.training
    weights = 1.0 / np.arange(3, vocabulary)
    shape = (NUM_BATCHES, training.batch_size, training.seq_length + 1)
    draws = np.random.default_rng(0).random(shape)
    ids = np.searchsorted(np.cumsum(weights / weights.sum()), draws)
    return np.minimum(ids + 3, vocabulary - 1).astype(np.int64)


def our_stepper(spec: JobSpec, *, num_tokens: int) -> Stepper:
    """Our training step for a run of `num_tokens` tokens, with the settings that `auto` chooses."""
    training, vocabulary = spec.training, spec.tokenizer.vocab_size
    device = choose_device(training)
    prepare(device, training)
    plan = make_plan(training, num_tokens=num_tokens)
    parts = build_components(spec, plan, device, vocab_size=vocabulary, rank=0, warn=warn)
    probe = Probe(spec, parts, Ranks(training.seed, lambda _: None), device, vocabulary, warn)
    if probe.is_needed:
        probe.run(None)
    print(f"ours computes with {probe.execution_plan.counts()}", file=sys.stderr)
    return parts.stepper


def warn(code: str, message: str) -> None:
    print(f"{code}: {message}", file=sys.stderr)


def ours(spec: JobSpec, data: Batches, watch: Watch) -> None:
    training = spec.training
    stepper = our_stepper(spec, num_tokens=10**8)
    # The micro-batch depends on the free memory of the GPU, which the contenders share.
    watch.details["micro_batch_size"] = stepper.micro_batch_size

    def take(rows: np.ndarray[Any, Any]) -> torch.Tensor:
        batch = Batch(rows[:, :-1], rows[:, 1:], rows[:, 1:].size, 0)
        return stepper.take(batch, learning_rate=training.learning_rate).loss

    repeat(take, data, watch)


def plain(spec: JobSpec, data: Batches, watch: Watch) -> None:
    training = spec.training
    device = choose_device(training)
    model = new_model(spec)
    optimizer = build_optimizer(model, training)

    def take(rows: np.ndarray[Any, Any]) -> torch.Tensor:
        ids = device.put(rows)  # (B, T + 1)
        with device.autocast():
            logits = model(input_ids=ids[:, :-1]).logits
            loss = functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.max_grad_norm or 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    repeat(take, data, watch)


def repeat(
    take: Callable[[np.ndarray[Any, Any]], torch.Tensor], data: Batches, watch: Watch
) -> None:
    """Takes steps. Reads only the first loss, because reading a loss waits for the GPU."""
    for _, rows in zip(watch.pace(), itertools.cycle(data), strict=False):
        loss = take(rows)
        if watch.first_loss is None:
            watch.first_loss = loss.item()


def upstream(spec: JobSpec, data: Batches, watch: Watch) -> None:
    hugging_face(spec, data, watch, as_upstream=True)


def trainer(spec: JobSpec, data: Batches, watch: Watch) -> None:
    hugging_face(spec, data, watch, as_upstream=False)


def hugging_face(spec: JobSpec, data: Batches, watch: Watch, *, as_upstream: bool) -> None:
    from benchmarks.hugging_face import train  # the import takes seconds; other ways skip it

    def note_loss(loss: float) -> None:
        if watch.first_loss is None:
            watch.first_loss = loss

    train(
        spec,
        new_model(spec),
        data.reshape(-1, data.shape[-1]),
        pace=watch.pace(),
        note_loss=note_loss,
        as_upstream=as_upstream,
    )


WAYS: dict[str, Callable[[JobSpec, Batches, Watch], None]] = {
    "ours": ours,
    "upstream": upstream,
    "trainer": trainer,
    "plain": plain,
}


def new_model(spec: JobSpec) -> Any:
    model = build_model(spec.model, vocab_size=spec.tokenizer.vocab_size, seed=spec.training.seed)
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def peak_flops(device: Device) -> float:
    """FLOP/s of matrix products in this run, measured by the clock that times the steps."""
    if not BY_CPU:
        return measured_peak_flops(device)
    left = torch.randn(1024, 1024).to(device.dtype)
    seconds = []
    for _ in range(6):
        began = CLOCK()
        left @ left
        seconds.append(CLOCK() - began)
    return 2.0 * 1024**3 / min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("model")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument(
        "--batch-size", type=int, help="default: 8 on a CPU, the preset's micro-batch on a GPU"
    )
    parser.add_argument("--steps", type=int, help="steps per window (3 on a CPU, 10 on a GPU)")
    options = parser.parse_args()
    quiet_transformers()
    is_cuda = torch.cuda.is_available()
    precision = options.precision
    if options.way == "upstream":  # independent of the precision of the other ways
        precision = "fp16" if is_cuda else "fp32"
    batch_size = options.batch_size or (None if is_cuda else CPU_BATCH_SIZE)
    spec = bench_spec(options.model, precision=precision, batch_size=batch_size)
    if BY_CPU:
        torch.set_num_threads(1)
    num_steps = options.steps or (10 if is_cuda else 3)
    alone = contextlib.ExitStack()
    lock = os.environ.get(LOCK_VARIABLE)
    # `ours` takes no lock: it compiles while the baselines prepare, and needs the least memory.
    if lock and options.way != "ours":
        fcntl.flock(alone.enter_context(open(lock, "w")), fcntl.LOCK_EX)  # noqa: SIM115
    watch = Watch(spec, choose_device(spec.training), num_steps=num_steps, alone=alone)
    with contextlib.redirect_stdout(sys.stderr):  # the Trainer prints what it logs
        WAYS[options.way](spec, token_batches(spec), watch)


if __name__ == "__main__":
    main()
