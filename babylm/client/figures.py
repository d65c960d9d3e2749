"""Readable names and values of metrics, and short ids."""

from collections.abc import Iterable
from itertools import pairwise

from babylm.output import in_bytes

TITLES = {
    "train/loss": "training loss",
    "train/learning_rate": "learning rate",
    "train/grad_norm": "gradient norm",
    "train/loss_scale": "loss scale (fp16)",
    "experts/max_load_share": "largest load of an expert",
    "experts/balance_loss": "balance loss of the experts",
    "validation/loss": "validation loss",
    "validation/perplexity": "validation perplexity",
    "validation/bits_per_byte": "validation bits per byte",
    "validation/ema_loss": "validation loss, averaged weights",
    "validation/ema_bits_per_byte": "bits per byte, averaged weights",
    "throughput/tokens_per_second": "tokens per second",
    "throughput/words_per_second": "words per second",
    "throughput/mfu": "share of the device's peak",
    "memory/device_allocated_bytes": "device memory in tensors",
    "memory/device_reserved_bytes": "device memory reserved",
    "memory/device_peak_bytes": "device memory, peak",
    "memory/host_rss_bytes": "host memory",
    "memory/host_peak_bytes": "host memory, peak",
    "device/utilization": "device utilization",
    "device/power_watts": "power",
    "evaluation/minimal_pairs": "minimal pairs",
    "evaluation/blimp": "BLiMP",
}
OF_PART = {
    "validation/bits_per_byte/": "bits per byte",
    "evaluation_ema/": "EMA of the weights",
    "finetune/loss/": "fine-tuning loss",
    "finetune/accuracy/": "fine-tuning accuracy",
    "finetune/f1/": "fine-tuning F1",
    "finetune/mcc/": "fine-tuning MCC",
}
"""Titles by prefix of the name; the rest of the name is a source of the corpus or a task."""
SHARES = ("share", "mfu", "utilization")
SHARES_OF_TASKS = ("evaluation/", "evaluation_ema/", "finetune/accuracy/", "finetune/f1/")
SHORTEST_ID = 4


def metric_title(name: str) -> str:
    """The name of a metric in words."""
    for prefix, title in OF_PART.items():
        if name.startswith(prefix):
            return f"{title}, {name.removeprefix(prefix).replace('_', ' ')}"
    return TITLES.get(name) or name.replace("/", " ").replace("_", " ")


def metric_value(name: str, value: float) -> str:
    """A value with its unit, rounded for reading."""
    if name.endswith("_bytes"):
        return in_bytes(value)
    if name.endswith("_watts"):
        return f"{value:.0f} W"
    if name.endswith(SHARES) or name.startswith(SHARES_OF_TASKS):
        return score_value(value)
    if name.endswith("per_second"):
        return f"{value:,.0f}"
    if name.endswith(("loss", "bits_per_byte")) and 0.001 <= abs(value) < 1000:
        return f"{value:.4f}".rstrip("0").rstrip(".") if value == round(value) else f"{value:.4f}"
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:.4g}"


def score_value(value: float) -> str:
    """A score as text: in percent from -1 to 1 (a share or a correlation), else with 2 decimals."""
    return f"{value:.1%}" if abs(value) <= 1.0 else f"{value:.2f}"


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """For each id the shortest prefix that no other id has; at least `SHORTEST_ID` characters."""
    ordered = sorted(set(ids))
    lengths = dict.fromkeys(ordered, SHORTEST_ID)
    for one, other in pairwise(ordered):
        common = next(
            (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
            min(len(one), len(other)),
        )
        lengths[one] = max(lengths[one], common + 1)
        lengths[other] = max(lengths[other], common + 1)
    return {each: each[: lengths[each]] for each in ordered}
