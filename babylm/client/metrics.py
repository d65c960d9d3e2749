"""Metrics of a job as a table: a pandas DataFrame if pandas is installed, else a `Metrics`."""

from collections.abc import Iterator, Mapping
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING

from babylm.client.figures import metric_value
from babylm.client.wire import Series

if TYPE_CHECKING:
    import pandas

COUNTERS = ("epoch", "tokens_seen", "words_seen")
SHOWN_ROWS = 20


class Metrics:
    """Rows by step; missing values are None.

    Attributes:
        steps: The logged steps, ascending.
        columns: Names of the metrics, and `epoch`, `tokens_seen` and `words_seen`.
    """

    def __init__(self, series: Mapping[str, Series]) -> None:
        self._values: dict[str, dict[int, float | None]] = {
            name: dict(zip(each["step"], each["value"], strict=True))
            for name, each in sorted(series.items())
        }
        for counter in COUNTERS:
            self._values[counter] = {
                step: value
                for each in series.values()
                for step, value in zip(each["step"], _column(each, counter), strict=True)
            }
        self.steps = sorted({step for each in self._values.values() for step in each})
        self.columns = list(self._values)

    def __getitem__(self, name: str) -> list[float | None]:
        """The values of one column, one for each step.

        Args:
            name: A name of `columns`.
        """
        values = self._values[name]
        return [values.get(step) for step in self.steps]

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[dict[str, float | None]]:
        """The rows, each with its step."""
        for step in self.steps:
            yield {"step": step, **{name: each.get(step) for name, each in self._values.items()}}

    def _repr_html_(self) -> str:
        columns = ["step", *self.columns]
        head = "".join(f"<th>{escape(name)}</th>" for name in columns)
        rows = [
            "".join(f"<td>{_cell(name, row[name])}</td>" for name in columns)
            for row in list(self)[-SHOWN_ROWS:]
        ]
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def read_metrics(series: Mapping[str, Series]) -> "pandas.DataFrame | Metrics":
    """A DataFrame with the index `step` if pandas is installed, else a `Metrics`."""
    table = Metrics(series)
    if find_spec("pandas") is None:
        return table
    import pandas

    data = {name: table[name] for name in table.columns}
    return pandas.DataFrame(data, index=pandas.Index(table.steps, name="step"))


def _column(series: Series, name: str) -> list[float]:
    values: list[float] = series[name]  # type: ignore[literal-required]  # one of COUNTERS
    return values


def _cell(name: str, value: float | None) -> str:
    return "" if value is None else escape(metric_value(name, value))
