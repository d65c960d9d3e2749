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
        "Mean loss over the tokens of the last logged step.",
        "lower",
    ),
    Metric("train/learning_rate", "1", "Learning rate of the step."),
    Metric("train/grad_norm", "1", "Norm of all gradients before clipping."),
    Metric("train/loss_scale", "1", "Factor that keeps fp16 gradients from underflowing."),
    Metric(
        "experts/max_load_share",
        "1",
        "Largest share of a layer's tokens that one expert received: 1/experts is balanced, 1 is "
        "collapse.",
        "lower",
    ),
    Metric(
        "experts/balance_loss",
        "1",
        "Load-balancing loss of the experts, mean over layers: 1 is balanced.",
        "lower",
    ),
    Metric("validation/loss", "nats per token", "Mean loss on the validation text.", "lower"),
    Metric("validation/perplexity", "1", "exp of the validation loss.", "lower"),
    Metric(
        "validation/bits_per_byte",
        "bit per byte",
        "Validation loss per byte of text: comparable between vocabularies.",
        "lower",
    ),
    Metric(
        "validation/bits_per_byte/SOURCE",
        "bit per byte",
        "The same for each source of the validation text, such as childes; if there are several.",
        "lower",
    ),
    Metric(
        "validation/ema_loss",
        "nats per token",
        "Mean loss of the averaged weights on the validation text.",
        "lower",
    ),
    Metric(
        "validation/ema_bits_per_byte",
        "bit per byte",
        "Validation loss of the averaged weights per byte of text.",
        "lower",
    ),
    Metric(
        "validation/average_loss",
        "nats per token",
        "Mean loss of the mean of the last epochs' weights on the validation text; at the end.",
        "lower",
    ),
    Metric(
        "validation/average_bits_per_byte",
        "bit per byte",
        "The same loss per byte of text.",
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
        "Share of the device's measured peak of matrix products that the model's FLOPs reach.",
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
    Metric("evaluation_ema/TASK", "1", "Score of the EMA of the weights on a task.", "higher"),
    Metric(
        "evaluation_average/TASK",
        "1",
        "Score of the mean of weights of epochs on a task.",
        "higher",
    ),
    Metric(
        "finetune/loss/TASK",
        "nats per example",
        "Mean loss of a step of the fine-tuning on a task, such as boolq.",
        "lower",
    ),
    Metric("finetune/accuracy/TASK", "1", "Validation accuracy after an epoch.", "higher"),
    Metric(
        "finetune/f1/TASK", "1", "F1 of label 1 on the validation examples, two labels.", "higher"
    ),
    Metric("finetune/mcc/TASK", "1", "Matthews correlation on the validation examples.", "higher"),
)

BY_NAME: dict[str, Metric] = {metric.name: metric for metric in CATALOGUE}
