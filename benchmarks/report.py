"""How a benchmark says what it measured: a line of JSON a figure, notes for people beside it."""

import json
import sys


def figure(
    benchmark: str,
    metric: str,
    value: float,
    unit: str,
    baseline: str | None = None,
    ratio: float | None = None,
) -> None:
    """Prints one figure.

    Args:
        benchmark: Its name, such as `train/gemma2-10m/fp32`.
        metric: What was measured, such as `tokens_per_second`.
        value: The number.
        unit: Its unit, such as `token/s`, `byte` or `1`.
        baseline: What it was compared with in the same run; None for a figure without comparison.
        ratio: How many times better than the baseline, above 1 is better.
    """
    line = {
        "benchmark": benchmark,
        "metric": metric,
        "value": _rounded(value),
        "unit": unit,
        "baseline": baseline,
        "ratio": None if ratio is None else _rounded(ratio),
    }
    print(json.dumps(line), flush=True)


def note(benchmark: str, text: str) -> None:
    """Says on standard error, for people, why a figure is missing or how it came about."""
    print(f"{benchmark}: {text}", file=sys.stderr, flush=True)


def wanted(names: tuple[str, ...], only: str | None) -> list[str]:
    """The benchmarks that `only` asks for: all of them, one, or all under a prefix."""
    if only is None:
        return list(names)
    return [name for name in names if name == only or name.startswith(only.rstrip("/") + "/")]


def _rounded(value: float) -> float:
    """Four digits are more than any figure here is worth; whole numbers stay whole."""
    return value if float(value).is_integer() else float(f"{value:.4g}")
