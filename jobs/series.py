"""Metrics as series by step, thinned out in the database to what a screen can show."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, Subquery, case, func
from sqlmodel import Session, col, select

from jobs.tables import Metric, MetricStep

MAX_POINTS = 500
POINTS_A_BUCKET = 4
"""The first, the last, the lowest and the highest: peaks and ends of the curve stay."""


@dataclass(frozen=True)
class Series:
    """One metric over the steps; the lists are of one length."""

    step: list[int] = field(default_factory=list)
    value: list[float | None] = field(default_factory=list)
    epoch: list[float] = field(default_factory=list)
    tokens_seen: list[int] = field(default_factory=list)
    words_seen: list[int] = field(default_factory=list)
    time: list[datetime] = field(default_factory=list)


def metric_names(session: Session, job_id: str) -> list[str]:
    """The metrics that the job has measured."""
    query = select(Metric.name).where(Metric.job_id == job_id).distinct().order_by(Metric.name)
    return list(session.exec(query))


def metric_series(
    session: Session,
    job_id: str,
    names: Sequence[str],
    *,
    after_step: int = 0,
    max_points: int = MAX_POINTS,
) -> dict[str, Series]:
    """The series of each name, of at most `max_points` points after a step.

    A longer one is cut into buckets of as many steps each, and each bucket keeps its first, last,
    lowest and highest point. A name that the job has not measured has an empty series.
    """
    assert max_points >= POINTS_A_BUCKET
    return {
        name: _series(session, job_id, name, after_step=after_step, max_points=max_points)
        for name in names
    }


def _series(
    session: Session, job_id: str, name: str, *, after_step: int, max_points: int
) -> Series:
    chosen: list[ColumnElement[bool]] = [
        col(Metric.job_id) == job_id,
        col(Metric.name) == name,
        col(Metric.step) > after_step,
    ]
    bounds = select(func.count(), func.min(Metric.step), func.max(Metric.step)).where(*chosen)
    count, low, high = session.exec(bounds).one()
    if count > max_points:
        num_buckets = max_points // POINTS_A_BUCKET
        width = (high - low) // num_buckets + 1
        steps = _steps_to_keep(session, chosen, low=low, width=width)
        chosen = [*chosen[:2], col(Metric.step).in_(steps)]
    return _points(session, chosen)


def _steps_to_keep(
    session: Session, chosen: Sequence[ColumnElement[bool]], *, low: int, width: int
) -> list[int]:
    bucket = (col(Metric.step) - low) // width
    points = select(Metric.step, Metric.value, bucket.label("bucket")).where(*chosen).subquery()
    edges = (
        select(  # type: ignore[call-overload]  # sqlmodel types up to four columns
            points.c.bucket,
            func.min(points.c.step).label("first"),
            func.max(points.c.step).label("last"),
            func.min(points.c.value).label("lowest"),
            func.max(points.c.value).label("highest"),
        )
        .group_by(points.c.bucket)
        .subquery()
    )
    query = (
        select(
            edges.c.first,
            edges.c.last,
            _step_of(points, edges.c.lowest),
            _step_of(points, edges.c.highest),
        )
        .join(points, points.c.bucket == edges.c.bucket)
        .group_by(edges.c.bucket, edges.c.first, edges.c.last)
    )
    rows = session.exec(query).all()
    return sorted({step for row in rows for step in row if step is not None})


def _step_of(points: Subquery, value: ColumnElement[float]) -> ColumnElement[int]:
    return func.min(case((points.c.value == value, points.c.step)))


def _points(session: Session, chosen: Sequence[ColumnElement[bool]]) -> Series:
    query = (
        select(Metric.step, Metric.value, MetricStep)
        .join(
            MetricStep,
            (col(MetricStep.job_id) == col(Metric.job_id))
            & (col(MetricStep.step) == col(Metric.step)),
        )
        .where(*chosen)
        .order_by(col(Metric.step))
    )
    series = Series()
    for step, value, where in session.exec(query):
        series.step.append(step)
        series.value.append(value)
        series.epoch.append(where.epoch)
        series.tokens_seen.append(where.tokens_seen)
        series.words_seen.append(where.words_seen)
        series.time.append(where.time)
    return series
