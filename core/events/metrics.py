"""The catalogue of metrics: name, unit, meaning and which direction is better."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One measured quantity."""

    name: str
    unit: str
    meaning: str
    better: Literal["lower", "higher", "neither"] = "neither"


CATALOGUE: tuple[Metric, ...] = (
    Metric(
        "train/loss",
        "nats per token",
        "Mean loss over the tokens of the step.",
        "lower",
    ),
    Metric("train/learning_rate", "1", "Learning rate of the step."),
    Metric("train/grad_norm", "1", "Norm of all gradients before clipping."),
    Metric("train/loss_scale", "1", "Factor that keeps fp16 gradients from underflowing."),
    Metric(
        "experts/max_load_share",
        "1",
        "Largest share of a layer's tokens that one expert received: 1 / (number of experts) if "
        "the load is balanced, 1 if one expert received all tokens.",
        "lower",
    ),
    Metric(
        "experts/balance_loss",
        "1",
        "Load-balancing loss of the experts, mean over layers; 1 if the load is balanced.",
        "lower",
    ),
    Metric("validation/loss", "nats per token", "Mean loss on the validation text.", "lower"),
    Metric("validation/perplexity", "1", "exp of the validation loss.", "lower"),
    Metric(
        "validation/bits_per_byte",
        "bit per byte",
        "Validation loss in bits per byte of text, which is comparable between vocabularies.",
        "lower",
    ),
    Metric(
        "validation/bits_per_byte/SOURCE",
        "bit per byte",
        "Validation loss in bits per byte of one source of the validation text, such as childes; "
        "only if the text has several sources.",
        "lower",
    ),
    Metric(
        "validation/ema_loss",
        "nats per token",
        "Mean loss on the validation text with the exponential moving average of the weights.",
        "lower",
    ),
    Metric(
        "validation/ema_bits_per_byte",
        "bit per byte",
        "Validation loss with the exponential moving average of the weights, in bits per byte.",
        "lower",
    ),
    Metric("throughput/tokens_per_second", "token/s", "Training tokens per second.", "higher"),
    Metric(
        "throughput/words_per_second",
        "word/s",
        "White-space separated training words per second.",
        "higher",
    ),
    Metric(
        "throughput/mfu",
        "1",
        "FLOPs of the model per second, as a share of the measured peak rate of matrix products.",
        "higher",
    ),
    Metric("memory/device_allocated_bytes", "byte", "Device memory held by tensors now.", "lower"),
    Metric(
        "memory/device_reserved_bytes", "byte", "Device memory held by the allocator now.", "lower"
    ),
    Metric(
        "memory/device_peak_bytes", "byte", "Peak device memory held by tensors so far.", "lower"
    ),
    Metric(
        "memory/host_rss_bytes", "byte", "Resident memory of the training process now.", "lower"
    ),
    Metric(
        "memory/host_peak_bytes",
        "byte",
        "Peak resident memory of the training process so far.",
        "lower",
    ),
    Metric("device/utilization", "1", "Share of the last second in which the device was busy."),
    Metric("device/power_watts", "W", "Power drawn by the device."),
    Metric(
        "evaluation/minimal_pairs",
        "1",
        "Share of minimal pairs in which the good sentence is more likely.",
        "higher",
    ),
    Metric("evaluation/blimp", "1", "BLiMP score.", "higher"),
    Metric(
        "evaluation_ema/TASK",
        "1",
        "Score on a task with the exponential moving average of the weights.",
        "higher",
    ),
    Metric(
        "finetune/loss/TASK",
        "nats per example",
        "Mean loss over the examples of a step of fine-tuning on a task, such as boolq.",
        "lower",
    ),
    Metric(
        "finetune/accuracy/TASK",
        "1",
        "Accuracy on the validation examples after an epoch.",
        "higher",
    ),
    Metric(
        "finetune/f1/TASK",
        "1",
        "F1 of label 1 on the validation examples; only for tasks with two labels.",
        "higher",
    ),
    Metric("finetune/mcc/TASK", "1", "Matthews correlation on the validation examples.", "higher"),
)

BY_NAME: dict[str, Metric] = {metric.name: metric for metric in CATALOGUE}


def score_metric(task: str, checkpoint: str | None) -> str:
    """The metric of the score of a checkpoint on a task, such as `evaluation/blimp`.

    A run may publish trained and averaged weights at the same step. The scores of the averaged
    weights are metrics of their own, such as `evaluation_ema/blimp`.
    """
    return f"evaluation_ema/{task}" if checkpoint == "ema" else f"evaluation/{task}"
