"""Means and standard deviations over seeds, and the words that a run needs to reach the baseline.

A run reaches the baseline when its bits per byte fall to the final value of the baseline.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from statistics import mean, stdev

from benchmarks.recipe.runs import Figures

BASELINE = "baseline"


def best_bits(run: Figures) -> float:
    """Bits per byte of the weights or of their exponential moving average, whichever is lower."""
    kinds = ("bits_per_byte", "ema_bits_per_byte")
    return min(float(run[kind]) for kind in kinds if run.get(kind) is not None)


def words_to_reach(run: Figures, target: float) -> float | None:
    """Words seen when bits per byte first reach `target`, interpolated; None if they never do."""
    curves = [[(words, bits) for words, _, bits in run["curve"]], run["ema_curve"]]
    reached = [found for curve in curves if (found := _crossing(curve, target)) is not None]
    return min(reached, default=None)


def _crossing(curve: Sequence[Sequence[float]], target: float) -> float | None:
    for (before, high), (after, low) in pairwise(curve):
        if low <= target < high:
            return before + (after - before) * (high - target) / (high - low)
    return None


def summary(runs: Sequence[Figures]) -> str:
    """A Markdown table of all conditions, each against the baseline of its architecture."""
    groups: dict[tuple[str, str, str], list[Figures]] = defaultdict(list)
    for run in runs:
        groups[run["shape"], run["architecture"], run["condition"]].append(run)
    lines = [
        "| shape | architecture | condition | seeds | bits per byte | against baseline "
        "| share of the words needed to reach the baseline's bits per byte | minutes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (shape, architecture, condition), group in groups.items():
        bits = [best_bits(run) for run in group]
        baselines = groups.get((shape, architecture, BASELINE), [])
        lines.append(
            f"| {shape} | {architecture} | {condition} | {len(group)} | {spread(bits)} | "
            f"{_gain(bits, baselines)} | {_words(group, baselines)} | "
            f"{mean(run['train_seconds'] for run in group) / 60:.1f} |"
        )
    return "\n".join(lines)


def spread(values: Sequence[float], *, digits: int = 4) -> str:
    """The mean as text, with the standard deviation if there are several values."""
    deviation = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{deviation}"


def source_summary(runs: Sequence[Figures]) -> str:
    """A Markdown table of the bits per byte of each source; empty if no run has them."""
    groups: dict[tuple[str, str, str], list[dict[str, float]]] = defaultdict(list)
    for run in runs:
        if run.get("bits_per_byte_by_source"):  # lines of older versions lack this field
            key = run["shape"], run["architecture"], run["condition"]
            groups[key].append(run["bits_per_byte_by_source"])
    names = sorted({name for group in groups.values() for bits in group for name in bits})
    if not names:
        return ""
    lines = [
        f"| shape | architecture | condition | seeds | {' | '.join(names)} |",
        f"|---|---|---|---|{'---|' * len(names)}",
    ]
    for key, group in groups.items():
        cells = [
            spread(found) if (found := [bits[name] for bits in group if name in bits]) else "-"
            for name in names
        ]
        lines.append(f"| {' | '.join(key)} | {len(group)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _gain(bits: Sequence[float], baselines: Sequence[Figures]) -> str:
    if not baselines:
        return "-"
    reference = [best_bits(run) for run in baselines]
    change = mean(bits) / mean(reference) - 1.0
    return f"{100 * change:+.1f} %"


def _words(group: Sequence[Figures], baselines: Sequence[Figures]) -> str:
    if not baselines:
        return "-"
    target = mean(best_bits(run) for run in baselines)
    reached = [words_to_reach(run, target) for run in group]
    known = [words for words in reached if words is not None]
    if len(known) < len(group):
        return "not reached"
    return f"{100 * mean(known) / mean(run['words_seen'] for run in group):.0f} %"
