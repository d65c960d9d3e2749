"""Estimates the memory, disk space and time of a fine-tuning job. Does not import torch."""

from collections.abc import Mapping, Sequence

from core.evaluation.classification import ClassificationTask, Examples
from core.evaluation.finetune.plan import TaskPlan
from core.spec.estimate import (
    ASSUMED_FLOPS,
    FLOAT32_BYTES,
    UTILISATION,
    Estimate,
    step_bytes,
)
from core.spec.finetune import FinetuneSpec
from core.spec.job import JobSpec

BYTES_PER_TOKEN = 4
"""Approximate bytes per token of English text."""
FORWARD_SHARE = 1 / 3
"""Share of the forward pass in the operations of a training step (forward and backward pass)."""
FLOAT32_SHARE = {"cpu": 1.0, "cuda": 1 / 16}
"""Operations per second in float32 as a share of `ASSUMED_FLOPS`, which is for bf16 on a GPU: an
A100 has 19.5 TFLOPS in float32 and 312 TFLOPS in bf16."""
RESUME_POINTS = 3
"""Maximum number of resume points on disk: two are kept while a third is written."""
COPIES = 3
"""Number of values that a resume point has per parameter: the weight and two moments of AdamW."""


def estimate_finetune(
    spec: JobSpec,
    tasks: Sequence[ClassificationTask],
    *,
    rates: Mapping[str, float] | None = None,
) -> Estimate:
    """The estimate for a resolved spec of the task `finetune`.

    Args:
        spec: The spec. Its model and tokenizer are those of the job that trained the checkpoint.
        tasks: The tasks of the spec.
        rates: Measured operations per second by kind of device; they replace `ASSUMED_FLOPS`.
    """
    finetune = spec.finetune
    assert finetune is not None  # validated with the spec
    plans = [TaskPlan.of(finetune, task.name, len(task.train.labels)) for task in tasks]
    trained = predicted = 0.0
    for task, plan in zip(tasks, plans, strict=True):
        examples = plan.max_steps * plan.settings.batch_size
        trained += examples * _mean_tokens(task.train, finetune)
        predicted += plan.settings.epochs * _tokens(task.valid, finetune)
    longest = max(_longest(task.train, finetune) for task in tasks)
    batch_size = max(plan.settings.batch_size for plan in plans)
    per_token = spec.model.flops_per_token(vocab_size=0, seq_length=longest)
    operations = per_token * (trained + FORWARD_SHARE * predicted)
    speeds = ASSUMED_FLOPS | dict(rates or {})
    parameters = spec.model.num_parameters(vocab_size=spec.tokenizer.vocab_size)
    return Estimate(
        parameter_count=parameters,
        words=None,
        tokens=round(trained),
        tokens_per_step=batch_size * longest,
        steps=sum(plan.max_steps for plan in plans),
        words_seen=None,
        device_memory_bytes=_step_bytes(spec, batch_size=batch_size, longest=longest),
        disk_bytes=RESUME_POINTS * COPIES * parameters * FLOAT32_BYTES,
        seconds={
            kind: operations / (share * speeds[kind] * FLOAT32_SHARE[kind])
            for kind, share in UTILISATION.items()
        },
    )


def largest_step_bytes(spec: JobSpec) -> int | None:
    """Peak memory of a step in bytes if all examples have `sequence_length` tokens.

    The function does not read the examples. It returns None if the spec does not name its tasks.
    """
    finetune = spec.finetune
    assert finetune is not None  # validated with the spec
    if not finetune.tasks:
        return None
    batch_size = max(finetune.settings_of(task).batch_size for task in finetune.tasks)
    return _step_bytes(spec, batch_size=batch_size, longest=finetune.sequence_length)


def _step_bytes(spec: JobSpec, *, batch_size: int, longest: int) -> int:
    """Peak memory of a step in bytes: as for training in float32, but without an output layer."""
    changes = {"seq_length": longest, "precision": "fp32", "optimizer": "adamw", "compile": False}
    changes |= {"ema_decay": None, "packing": "stream"}
    training = spec.training.model_copy(update=changes)
    as_training = spec.model_copy(update={"training": training})
    whole = step_bytes(
        as_training, micro_batch_size=batch_size, vocab_size=spec.tokenizer.vocab_size
    )
    logits = FLOAT32_BYTES * batch_size * longest * spec.tokenizer.vocab_size
    return max(whole - logits, whole // 2)


def _tokens(examples: Examples, spec: FinetuneSpec) -> float:
    return sum(_length(text, spec) for text in examples.texts)


def _mean_tokens(examples: Examples, spec: FinetuneSpec) -> float:
    return _tokens(examples, spec) / len(examples.texts)


def _longest(examples: Examples, spec: FinetuneSpec) -> int:
    return max(1, *(_length(text, spec) for text in examples.texts))


def _length(text: tuple[str, ...], spec: FinetuneSpec) -> int:
    """Approximate number of tokens of an example."""
    size = sum(len(part) for part in text)
    return min(spec.sequence_length, -(-size // BYTES_PER_TOKEN))
