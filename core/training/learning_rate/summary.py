"""The result of a search for a learning rate: the suggestion, a table and a chart.

The module does not import torch.
"""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil, floor, log, log10

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 40, 50
MIN_POINTS = 3
"""Minimum number of points for a suggestion."""


@dataclass(frozen=True)
class Point:
    """The learning rate and the loss of one step."""

    step: int
    learning_rate: float
    loss: float
    """Loss of the step's batch before the update of the weights."""
    smoothed_loss: float


@dataclass(frozen=True)
class Found:
    """The suggestion of the search."""

    suggested: float | None
    """The learning rate at which the smoothed loss falls most steeply. Slopes are taken over the
    logarithm of the rate. Only rates below `lowest_at` count. None if there are too few points."""
    lowest_at: float | None
    """The learning rate at which the smoothed loss is lowest, which is near the highest rate at
    which training works. None if there are too few points."""


def summarize(points: Sequence[Point]) -> Found:
    """The suggestion: the rate at which the smoothed loss falls fastest.

    This is the learning-rate range test of Smith 2017, "Cyclical Learning Rates for Training Neural
    Networks", section 3.3. The library fastai suggests either the rate at which the loss falls most
    steeply, or a fixed fraction of the rate with the lowest loss. The fraction does not work here:
    with AdamW and clipped gradients, the loss of an untrained language model still falls at rates
    that are a hundred times too high.
    """
    if len(points) < MIN_POINTS:
        return Found(None, None)
    lowest = min(range(len(points)), key=lambda place: points[place].smoothed_loss)
    slopes = {
        place: (points[place + 1].smoothed_loss - points[place - 1].smoothed_loss)
        / log(points[place + 1].learning_rate / points[place - 1].learning_rate)
        for place in range(1, max(2, lowest))
    }
    steepest = min(slopes, key=slopes.__getitem__)
    return Found(points[steepest].learning_rate, points[lowest].learning_rate)


def as_csv(points: Sequence[Point]) -> str:
    """The points as CSV, with one row per step."""
    output = io.StringIO()
    writer = csv.DictWriter(output, ["step", "learning_rate", "loss", "smoothed_loss"])
    writer.writeheader()
    writer.writerows(asdict(point) for point in points)
    return output.getvalue()


def as_json(found: Found, points: Sequence[Point]) -> str:
    """The suggestion and the points as JSON."""
    return json.dumps(asdict(found) | {"points": [asdict(point) for point in points]}, indent=1)


def as_svg(found: Found, points: Sequence[Point]) -> str:
    """An SVG chart of the smoothed loss over the learning rate, on a logarithmic axis."""
    rates = [log10(point.learning_rate) for point in points] or [0.0]
    losses = [point.smoothed_loss for point in points] or [0.0]
    first, last = min(rates), max(max(rates), min(rates) + 1e-9)
    low, high = min(losses), max(max(losses), min(losses) + 1e-9)

    def x(rate: float) -> float:
        return LEFT + (rate - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(loss: float) -> float:
        return HEIGHT - BOTTOM - (loss - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12" role="img">',
        "<title>Smoothed loss over the learning rate</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for power in range(ceil(first), floor(last) + 1):
        parts.append(_line(x(power), TOP, x(power), HEIGHT - BOTTOM, "#ddd"))
        parts.append(_text(x(power), HEIGHT - BOTTOM + 18, f"1e{power}"))
    for number in range(5):
        loss = low + (high - low) * number / 4
        parts.append(_line(LEFT, y(loss), WIDTH - RIGHT, y(loss), "#ddd"))
        parts.append(_text(LEFT - 26, y(loss) + 4, f"{loss:.2f}"))
    path = " ".join(f"{x(r):.1f},{y(v):.1f}" for r, v in zip(rates, losses, strict=True))
    parts.append(f'<polyline points="{path}" fill="none" stroke="#1f6feb" stroke-width="2"/>')
    if found.suggested is not None:
        at = x(max(first, log10(found.suggested)))
        parts.append(_line(at, TOP, at, HEIGHT - BOTTOM, "#d1242f"))
        parts.append(_text(at, TOP - 8, f"suggested {found.suggested:.2g}"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "learning rate"))
    return "\n".join([*parts, "</svg>\n"])


def _line(x1: float, y1: float, x2: float, y2: float, color: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"/>'


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{text}</text>'
