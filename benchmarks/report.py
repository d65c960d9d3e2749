"""The output of benchmarks: a line of JSON per figure, and notes on standard error."""

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
        benchmark: Name of the benchmark, such as `train/gemma2-10m/fp32`.
        metric: Name of the figure, such as `tokens_per_second`.
        value: The value.
        unit: Unit of the value, such as `token/s`, `byte` or `1`.
        baseline: Name of the baseline in the same run; None for a figure without comparison.
        ratio: Improvement over the baseline; above 1 is better.
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
    """Prints a note on standard error, such as why a figure is missing or how it was measured."""
    print(f"{benchmark}: {text}", file=sys.stderr, flush=True)


def wanted(names: tuple[str, ...], only: str | None) -> list[str]:
    """The benchmarks that `only` selects: all if None, else `only` and names that begin `only/`."""
    if only is None:
        return list(names)
    return [name for name in names if name == only or name.startswith(only.rstrip("/") + "/")]


def _rounded(value: float) -> float:
    """Rounds to four significant digits; integers stay exact."""
    return value if float(value).is_integer() else float(f"{value:.4g}")
