"""One way of training, timed in a process of its own: `python -m benchmarks.contender WAY MODEL`.

All ways train the same architecture from the same weights on the same tokens, and report the loss
of their first step, so that the one who compares them can see that they compute the same. Ways:

- `ours`: the step of this project, as `babylm train` takes it;
- `upstream`: Hugging Face's Trainer as the scripts that this project replaces set it up, with
  gradient checkpointing, a collator that checks and clamps token by token, and a callback that
  empties the cache, in its own precision: fp16 on a GPU, fp32 on a CPU;
- `trainer`: the same Trainer without those three, compiled where BABYLM_BENCH_COMPILE=1;
- `plain`: a loop of the nanoGPT kind around the Hugging Face model, with a fused AdamW.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from core.dataset.batches import Batch
from core.plan import make_plan
from core.spec import JobSpec
from core.training.attention import use_blocks
from core.training.choices import choose
from core.training.compiled import compile_layers
from core.training.device import Device, choose_device, measured_peak_flops, prepare
from core.training.experts import use_sparse_experts
from core.training.model import build_model, quiet_transformers
from core.training.optimizer import build_optimizer
from core.training.step import Stepper

BY_CPU = os.environ.get("BABYLM_BENCH_CLOCK") == "cpu"
"""For a machine that others use: one thread, timed in its own seconds on the processor."""
CLOCK = time.process_time if BY_CPU else time.perf_counter
DENSE = "-dense"
"""Behind a preset's name: without experts."""


@dataclass
class Timing:
    """Seconds and loss of each step."""

    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


def bench_spec(model: str, *, precision: str, batch_size: int) -> JobSpec:
    """A preset's model with batches of `batch_size` sequences."""
    body: dict[str, Any] = {
        "preset": model.removesuffix(DENSE),
        "training": {"precision": precision, "batch_size": batch_size, "warmup_steps": 0},
    }
    if model.endswith(DENSE):
        body["model"] = {"num_local_experts": 0}
    return JobSpec.model_validate(body).resolve()


def windows(spec: JobSpec, count: int) -> np.ndarray[Any, Any]:
    """(count, T + 1) int64 token ids, as frequent as words are: by Zipf's law."""
    vocabulary = spec.tokenizer.vocab_size
    weights = 1.0 / np.arange(3, vocabulary)
    draws = np.random.default_rng(0).random((count, spec.training.seq_length + 1))
    ids = np.searchsorted(np.cumsum(weights / weights.sum()), draws)
    return np.minimum(ids + 3, vocabulary - 1).astype(np.int64)


def our_stepper(spec: JobSpec, *, num_tokens: int) -> Stepper:
    """What takes the steps of a run over so many tokens, with all that `auto` chooses for it."""
    training, vocabulary = spec.training, spec.tokenizer.vocab_size
    device = choose_device(training)
    prepare(device, training)
    model = new_model(spec)
    plan = make_plan(training, num_tokens=num_tokens)
    choices = choose(spec, plan, device, vocab_size=vocabulary)
    routers = use_sparse_experts(model)
    if choices.attention == "blocks":
        use_blocks(model)
    if choices.compile:
        compile_layers(model, cache=None)
    return Stepper(
        model=model,
        optimizer=build_optimizer(model, training),
        training=training,
        device=device,
        routers=routers,
        micro_batch_size=choices.micro_batch_size,
    )


def ours(spec: JobSpec, data: np.ndarray[Any, Any], timing: Timing) -> None:
    training = spec.training
    stepper = our_stepper(spec, num_tokens=10**8)
    for rows in steps(data, training.batch_size):
        began = CLOCK()
        batch = Batch(rows[:, :-1], rows[:, 1:], rows[:, 1:].size, 0)
        result = stepper.take(batch, learning_rate=training.learning_rate)
        timing.losses.append(result.loss.item())
        timing.seconds.append(CLOCK() - began)


def plain(spec: JobSpec, data: np.ndarray[Any, Any], timing: Timing) -> None:
    training = spec.training
    device = choose_device(training)
    model = new_model(spec)
    optimizer = build_optimizer(model, training)
    for rows in steps(data, training.batch_size):
        began = CLOCK()
        ids = torch.from_numpy(rows)
        with device.autocast():
            logits = model(input_ids=ids[:, :-1]).logits
            loss = functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.max_grad_norm or 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        timing.losses.append(loss.item())
        timing.seconds.append(CLOCK() - began)


def upstream(spec: JobSpec, data: np.ndarray[Any, Any], timing: Timing) -> None:
    _hugging_face(spec, data, timing, as_upstream=True)


def trainer(spec: JobSpec, data: np.ndarray[Any, Any], timing: Timing) -> None:
    _hugging_face(spec, data, timing, as_upstream=False)


def _hugging_face(
    spec: JobSpec, data: np.ndarray[Any, Any], timing: Timing, *, as_upstream: bool
) -> None:
    from transformers import Trainer, TrainerCallback, TrainingArguments

    training, vocabulary = spec.training, spec.tokenizer.vocab_size

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began = CLOCK()

        def on_step_end(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
            timing.seconds.append(CLOCK() - self.began)
            if as_upstream and state.global_step % 10 == 0 and torch.cuda.is_available():
                torch.cuda.empty_cache()

        def on_log(self, *_: Any, logs: dict[str, float] | None = None, **__: Any) -> None:
            if logs and "loss" in logs:
                timing.losses.append(logs["loss"])

    def careful(rows: list[list[int]]) -> dict[str, torch.Tensor]:
        checked = [[min(max(int(token), 0), vocabulary - 1) for token in row] for row in rows]
        return fast([torch.tensor(row) for row in checked])

    def fast(rows: list[Any]) -> dict[str, torch.Tensor]:
        ids = torch.stack([torch.as_tensor(row) for row in rows])  # (B, T + 1)
        # The model shifts labels by one itself; the first label stands for no token.
        return {
            "input_ids": ids[:, :-1],
            "labels": ids[:, :-1],
            "shift_labels": ids[:, 1:].contiguous(),
        }

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=training.batch_size,
            max_steps=len(data) // training.batch_size,
            learning_rate=training.learning_rate,
            weight_decay=training.weight_decay,
            lr_scheduler_type="constant",
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            gradient_checkpointing=as_upstream,
            torch_compile=not as_upstream and os.environ.get("BABYLM_BENCH_COMPILE") == "1",
            bf16=training.precision == "bf16",
            fp16=training.precision == "fp16",
            optim="adamw_torch" if as_upstream else "adamw_torch_fused",
            remove_unused_columns=False,
            train_sampling_strategy="sequential",
            use_cpu=not torch.cuda.is_available(),
            seed=0,
        )
        rows: list[Any] = [row.tolist() for row in data] if as_upstream else list(data)
        Trainer(
            model=new_model(spec),
            args=arguments,
            train_dataset=rows,
            data_collator=careful if as_upstream else fast,
            callbacks=[Clock()],
        ).train()


WAYS: dict[str, Callable[[JobSpec, np.ndarray[Any, Any], Timing], None]] = {
    "ours": ours,
    "upstream": upstream,
    "trainer": trainer,
    "plain": plain,
}


def new_model(spec: JobSpec) -> Any:
    model = build_model(spec.model, vocab_size=spec.tokenizer.vocab_size, seed=spec.training.seed)
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def peak_flops(device: Device) -> float:
    """Of a matrix product in this run, by the clock that times the steps."""
    if not BY_CPU:
        return measured_peak_flops(device)
    left = torch.randn(1024, 1024).to(device.dtype)
    seconds = []
    for _ in range(6):
        began = CLOCK()
        left @ left
        seconds.append(CLOCK() - began)
    return 2.0 * 1024**3 / min(seconds)


def steps(data: np.ndarray[Any, Any], batch_size: int) -> Iterator[np.ndarray[Any, Any]]:
    for begin in range(0, len(data), batch_size):
        yield data[begin : begin + batch_size]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("model")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3, help="the first is not timed")
    options = parser.parse_args()
    quiet_transformers()
    precision = options.precision
    if options.way == "upstream":  # whatever the others compute in
        precision = "fp16" if torch.cuda.is_available() else "fp32"
    spec = bench_spec(options.model, precision=precision, batch_size=options.batch_size)
    data = windows(spec, options.batch_size * options.steps)
    if BY_CPU:
        torch.set_num_threads(1)
    device = choose_device(spec.training)
    peak = peak_flops(device)
    timing = Timing()
    WAYS[options.way](spec, data, timing)
    peak = max(peak, peak_flops(device))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if torch.cuda.is_available():
        memory = torch.cuda.max_memory_allocated()
    seconds = float(np.median(timing.seconds[1:]))
    tokens = options.batch_size * spec.training.seq_length / seconds
    flops = spec.model.flops_per_token(
        vocab_size=spec.tokenizer.vocab_size, seq_length=spec.training.seq_length
    )
    print(
        json.dumps(
            {
                "first_loss": timing.losses[0],
                "tokens_per_second": tokens,
                "mfu": tokens * flops / peak,
                "memory_peak_bytes": memory,
            }
        )
    )


if __name__ == "__main__":
    main()
