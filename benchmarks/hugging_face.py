"""The ways `upstream` and `trainer` of `benchmarks.contender`: Hugging Face's Trainer."""

import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

from core.spec.job import JobSpec

MAX_STEPS = 10**6
"""A limit that no training reaches; the end of the input ends the training."""
CACHE_STEPS = 10
"""Number of steps after which the upstream callback empties the cache again. Both ways also log at
this interval."""

Inputs = dict[str, torch.Tensor]


class Endless(Dataset[Any]):
    """Repeats the same rows, so that all steps are in one epoch.

    The Trainer needs time to start another epoch.
    """

    def __init__(self, rows: list[Any], *, length: int) -> None:
        self._rows = rows
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Any:
        return self._rows[index % len(self._rows)]


class Paced(TrainerCallback):  # type: ignore[misc]
    """Controls the steps of the Trainer by the generator `Watch.pace` of `benchmarks.contender`.

    The callback resumes the generator, which waits and reads the clock, at the end of a step. There
    the Trainer can stop at once if the generator has ended. At the beginning of a step, the Trainer
    would take one more step first.
    """

    def __init__(
        self, pace: Iterator[None], note_loss: Callable[[float], None], *, empties_cache: bool
    ) -> None:
        self._pace = pace
        self._note_loss = note_loss
        self._empties_cache = empties_cache

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        next(self._pace)

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._empties_cache and state.global_step % CACHE_STEPS == 0:
            torch.cuda.empty_cache()  # does nothing without a GPU
        try:
            next(self._pace)
        except StopIteration:
            control.should_training_stop = True

    def on_log(self, *_: Any, logs: dict[str, float] | None = None, **__: Any) -> None:
        if logs and "loss" in logs:
            self._note_loss(logs["loss"])


def train(
    spec: JobSpec,
    model: PreTrainedModel,
    data: np.ndarray[Any, Any],
    *,
    pace: Iterator[None],
    note_loss: Callable[[float], None],
    as_upstream: bool,
) -> None:
    """Trains on (N, T + 1) token ids until `pace` ends, without data loader workers."""
    rows: list[Any] = [row.tolist() for row in data] if as_upstream else list(data)
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            model=model,
            args=arguments(spec, folder, as_upstream=as_upstream),
            train_dataset=Endless(rows, length=MAX_STEPS * spec.training.batch_size),
            data_collator=careful(spec.tokenizer.vocab_size) if as_upstream else fast,
            callbacks=[Paced(pace, note_loss, empties_cache=as_upstream)],
        ).train()


def arguments(spec: JobSpec, folder: str, *, as_upstream: bool) -> TrainingArguments:
    training = spec.training
    return TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=training.batch_size,
        max_steps=MAX_STEPS,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        lr_scheduler_type="constant",
        logging_steps=CACHE_STEPS,  # logging reads the loss, which waits for a GPU
        logging_first_step=True,
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


def careful(vocabulary: int) -> Callable[[list[list[int]]], Inputs]:
    """A collator like upstream's, which checks and clamps token by token."""

    def collate(rows: list[list[int]]) -> Inputs:
        checked = [[min(max(int(token), 0), vocabulary - 1) for token in row] for row in rows]
        return fast([torch.tensor(row) for row in checked])

    return collate


def fast(rows: list[Any]) -> Inputs:
    ids = torch.stack([torch.as_tensor(row) for row in rows])  # (B, T + 1)
    # The model computes a loss only if it gets `labels`, but takes the targets from `shift_labels`.
    # Without these it would shift `labels` itself, and each row would lose its last target.
    return {
        "input_ids": ids[:, :-1],
        "labels": ids[:, :-1],
        "shift_labels": ids[:, 1:].contiguous(),
    }
