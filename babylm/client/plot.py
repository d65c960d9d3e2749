"""A line chart as SVG, which notebooks and browsers show; needs no plotting library."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from pathlib import Path

from babylm.client.figures import metric_title
from babylm.client.wire import Series

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 40, 44
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""Colours of the lines: the Okabe-Ito palette, which is safe for colour blindness."""
TICKS = 5
Point = tuple[float, float]


@dataclass(frozen=True)
class Plot:
    """A chart.

    Attributes:
        svg: The SVG document.
    """

    svg: str

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> Path:
        """Writes the SVG file.

        Args:
            path: The file.
        """
        target = Path(path)
        target.write_text(self.svg, encoding="utf-8")
        return target


def plot_series(series: Mapping[str, Series], *, title: str) -> Plot:
    """The metrics over steps, with axes and a legend; a metric without values is left out."""
    lines = {
        name: [
            (float(step), value)
            for step, value in zip(each["step"], each["value"], strict=True)
            if value is not None
        ]
        for name, each in series.items()
    }
    lines = {name: points for name, points in lines.items() if points}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="18" font-size="14">{escape(title)}</text>',
        *(_drawing(lines) if lines else [f'<text x="{LEFT}" y="80">no values yet</text>']),
        "</svg>",
    ]
    return Plot("\n".join(parts))


def _drawing(lines: Mapping[str, Sequence[Point]]) -> list[str]:
    points = [point for each in lines.values() for point in each]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    x_ticks, y_ticks = _ticks(min(xs), max(xs)), _ticks(min(ys), max(ys))
    left, right = min(xs[0], *xs, x_ticks[0]), max(*xs, x_ticks[-1])
    low, high = y_ticks[0], y_ticks[-1]

    def place(point: Point) -> Point:
        across = (point[0] - left) / ((right - left) or 1.0)
        up = (point[1] - low) / ((high - low) or 1.0)
        x = LEFT + across * (WIDTH - LEFT - RIGHT)
        return x, HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = []
    for tick in y_ticks:
        _, y = place((left, tick))
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(_label(LEFT - 8, y + 4, tick, "end"))
    for tick in x_ticks:
        x, _ = place((tick, low))
        parts.append(_label(x, HEIGHT - BOTTOM + 18, tick, "middle"))
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">step</text>')
    for number, (name, line) in enumerate(lines.items()):
        color = COLORS[number % len(COLORS)]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in map(place, line))
        parts.append(f'<path d="{path}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        at = LEFT + number * 170
        parts.append(f'<path d="M{at} 30h18" stroke="{color}" stroke-width="3"/>')
        parts.append(f'<text x="{at + 24}" y="34">{escape(metric_title(name))}</text>')
    return parts


def _label(x: float, y: float, value: float, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{value:,.6g}</text>'


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers at equal distances; the first is at most `low`, the last at least `high`."""
    span = (high - low) or abs(high) or 1.0
    size = 10 ** floor(log10(span / TICKS))
    size *= next(factor for factor in (1, 2, 5, 10) if span / (size * factor) <= TICKS)
    first, last = floor(low / size), ceil(high / size)
    return [number * size for number in range(first, last + 1)]
