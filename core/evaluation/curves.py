"""Learning curves: scores by words seen, published baselines, and saturation.

A curve is saturated from the checkpoint after which the score rose only by noise. This module does
not import torch.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from pathlib import Path

from core.events.results import EvaluationResult

BASELINES = Path(__file__).with_name("baselines.json")
NOISE = 2.0
"""Differences up to this many standard errors count as noise."""
FEWEST_POINTS = 3


@dataclass(frozen=True)
class Point:
    """The score of one checkpoint."""

    checkpoint: str
    words_seen: int
    score: float
    standard_error: float


@dataclass(frozen=True)
class Baseline:
    """The final score of a published model."""

    model: str
    track: str
    score: float
    source: str


@dataclass(frozen=True)
class Curve:
    """A score as a function of the words seen."""

    task: str
    part: str
    """`score` for the whole task, or the name of a paradigm (a subset of the task's items)."""
    metric: str
    points: tuple[Point, ...]
    baselines: tuple[Baseline, ...]
    saturated_at: str | None
    """First checkpoint after which the score rose only by noise. None if the score still rises or
    the curve has too few points."""
    verdict: str


Evaluated = tuple[str, str, int, EvaluationResult]
"""An evaluation: task, checkpoint, words seen and result."""


def learning_curves(evaluations: Iterable[Evaluated], *, track: str | None) -> list[Curve]:
    """A curve for each task, and one for each paradigm of a task that has several paradigms.

    Args:
        evaluations: Evaluations of one job, oldest first; a later evaluation of a checkpoint
            replaces an earlier one.
        track: Track of the baselines to include; None includes the baselines of all tracks.
    """
    tasks: dict[str, dict[str, tuple[int, EvaluationResult]]] = {}
    for task, checkpoint, words, result in evaluations:
        tasks.setdefault(task, {})[checkpoint] = (words, result)
    curves = []
    for task, found in sorted(tasks.items()):
        parts: dict[str, list[Point]] = {}
        ordered = sorted(found.items(), key=lambda each: (each[1][0], each[0] == "last"))
        for checkpoint, (words, result) in ordered:
            whole = Point(checkpoint, words, result.score, standard_error(result))
            parts.setdefault("score", []).append(whole)
            for each in result.paradigms if len(result.paradigms) > 1 else ():
                error = _error(result.metric, each.score, each.pairs)
                parts.setdefault(each.name, []).append(Point(checkpoint, words, each.score, error))
        newest = ordered[-1][1][1]
        for part, points in parts.items():
            curves.append(_curve(task, part, newest, _by_words(points), track))
    return curves


def standard_error(result: EvaluationResult) -> float:
    """Standard error of the score, which is treated as a mean over independent paradigms."""
    parts = [_error(result.metric, each.score, each.pairs) for each in result.paradigms]
    return sqrt(sum(error**2 for error in parts)) / len(parts) if parts else 0.0


def saturation(points: Sequence[Point]) -> tuple[str | None, str]:
    """The checkpoint after which the score rose only by noise, or None, and the result as text."""
    if len(points) < FEWEST_POINTS:
        return None, f"needs {FEWEST_POINTS} checkpoints, has {len(points)}"
    best = max(points, key=lambda point: point.score)
    for number, point in enumerate(points[:-1]):
        later = max(points[number + 1 :], key=lambda each: each.score)
        noise = NOISE * sqrt(point.standard_error**2 + later.standard_error**2)
        if later.score - point.score <= noise:
            return point.checkpoint, (
                f"no gain beyond noise after {point.words_seen:,} words: "
                f"{point.score:.4f} there, at most {later.score:.4f} later (noise {noise:.4f})"
            )
    return None, f"still rising at {best.words_seen:,} words"


def as_csv(curves: Sequence[Curve]) -> str:
    """The curves as CSV, one line per point."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        ["task", "part", "metric", "checkpoint", "words_seen", "score", "standard_error"]
    )
    for curve in curves:
        for point in curve.points:
            figures = (f"{point.score:.6f}", f"{point.standard_error:.6f}")
            where = (curve.task, curve.part, curve.metric, point.checkpoint, point.words_seen)
            writer.writerow([*where, *figures])
    return buffer.getvalue()


def as_markdown(curves: Sequence[Curve]) -> str:
    """One Markdown table per task: scores by checkpoint, baselines, and the verdict."""
    lines: list[str] = []
    for curve in curves:
        if curve.part != "score":
            continue
        lines += [f"## {curve.task} ({curve.metric})", "", "| checkpoint | words seen | score |"]
        lines += ["| --- | --: | --: |"]
        for point in curve.points:
            error = f"{point.score:.4f} ± {point.standard_error:.4f}"
            lines.append(f"| {point.checkpoint} | {point.words_seen:,} | {error} |")
        for line in curve.baselines:
            lines.append(f"| {line.model} ({line.track}) | | {line.score:.4f} |")
        lines += ["", curve.verdict[:1].upper() + curve.verdict[1:] + ".", ""]
    return "\n".join(lines)


@lru_cache(maxsize=1)
def _published() -> tuple[tuple[str, Baseline], ...]:
    data = json.loads(BASELINES.read_text())
    return tuple(
        (task, Baseline(each["model"], each["track"], score, data["sources"][each["source"]]))
        for each in data["baselines"]
        for task, score in each["scores"].items()
    )


def baselines(task: str, part: str, result: EvaluationResult, track: str | None) -> list[Baseline]:
    """The published scores for a task, in the unit of its metric."""
    name = _official_name(task, part, result)
    scale = 1.0 if result.metric == "spearman" else 0.01
    return [
        Baseline(each.model, each.track, each.score * scale, each.source)
        for published, each in _published()
        if published == name and track in (None, each.track)
    ]


def _official_name(task: str, part: str, result: EvaluationResult) -> str | None:
    if result.kind == "reading":
        return part
    if part != "score":
        return None
    if result.kind == "wug":
        return result.paradigms[0].name
    if result.kind == "minimal_pairs":
        # BLiMP and its supplement have the same format. Only the names of their folders differ.
        if task.startswith("supplement"):
            return "blimp_supplement"
        return "blimp" if task.startswith("blimp") else None
    return result.kind


def _by_words(points: Sequence[Point]) -> tuple[Point, ...]:
    """One point per number of words; `last` replaces a milestone with the same number of words."""
    return tuple({point.words_seen: point for point in points}.values())


def _curve(
    task: str, part: str, result: EvaluationResult, points: tuple[Point, ...], track: str | None
) -> Curve:
    saturated_at, verdict = saturation(points)
    lines = tuple(baselines(task, part, result, track))
    return Curve(task, part, result.metric, points, lines, saturated_at, verdict)


def _error(metric: str, score: float, items: int) -> float:
    """Standard error of one score."""
    if metric == "accuracy":
        return sqrt(score * (1.0 - score) / items)
    if metric == "spearman":  # standard error if the two rankings are independent
        return 1.0 / sqrt(max(1, items - 1))
    if metric == "log_probability":  # assumes a standard deviation equal to the mean
        return abs(score) / sqrt(items)
    # Large-sample error of a squared partial correlation (Olkin & Finn, 1995).
    gain = min(1.0, max(0.0, score))
    return 2.0 * sqrt(gain) * (1.0 - gain) / sqrt(items)
