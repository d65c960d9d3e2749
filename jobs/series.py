"""Metrics as series by step, downsampled in the database for display."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, func, literal
from sqlmodel import Session, col, select

from jobs.tables import Metric, MetricStep

MAX_POINTS = 500
POINTS_A_BUCKET = 4
"""Number of points that a bucket keeps: the first, last, lowest and highest, so that the peaks and
ends of the curve remain."""


@dataclass(frozen=True)
class Series:
    """One metric by step; all lists have the same length."""

    step: list[int] = field(default_factory=list)
    value: list[float | None] = field(default_factory=list)
    epoch: list[float] = field(default_factory=list)
    tokens_seen: list[int] = field(default_factory=list)
    words_seen: list[int] = field(default_factory=list)
    time: list[datetime] = field(default_factory=list)


def metric_names(session: Session, job_id: str) -> list[str]:
    """The names of the metrics of a job."""
    query = select(Metric.name).where(Metric.job_id == job_id).distinct().order_by(Metric.name)
    return list(session.exec(query))


def metric_series(
    session: Session,
    job_id: str,
    names: Sequence[str],
    *,
    after_step: int = 0,
    before_step: int | None = None,
    max_points: int = MAX_POINTS,
    extremes: bool = True,
) -> dict[str, Series]:
    """The series of each name between two steps, downsampled to at most `max_points` points.

    A longer series is divided into buckets of equal numbers of steps, and each bucket keeps its
    first, last, lowest and highest point. The series of an unknown name is empty.

    Args:
        session: A read session.
        job_id: The id of the job; the series of an unknown job are empty.
        names: Names of metrics.
        after_step: Exclusive lower bound.
        before_step: Exclusive upper bound; None for no bound.
        max_points: Maximum number of points of a series.
        extremes: If False, the buckets are smaller, and only the first point of each bucket and
            the last point of the series remain. This loses the peaks, but does not read every row.
    """
    assert max_points >= POINTS_A_BUCKET
    result = {}
    for name in names:
        chosen: list[ColumnElement[bool]] = [
            col(Metric.job_id) == job_id,
            col(Metric.name) == name,
            col(Metric.step) > after_step,
        ]
        if before_step is not None:
            chosen.append(col(Metric.step) < before_step)
        result[name] = _series(session, chosen, max_points=max_points, extremes=extremes)
    return result


def _series(
    session: Session, chosen: Sequence[ColumnElement[bool]], *, max_points: int, extremes: bool
) -> Series:
    some = select(Metric.step).where(*chosen).limit(max_points + 1).subquery()
    if session.exec(select(func.count()).select_from(some)).one() <= max_points:
        return _points(session, chosen)
    # Two queries, each one seek in the primary key; a single query would scan it.
    low = session.exec(select(func.min(Metric.step)).where(*chosen)).one()
    high = session.exec(select(func.max(Metric.step)).where(*chosen)).one()
    num_buckets = max_points // POINTS_A_BUCKET if extremes else max_points - 1
    width = (high - low) // num_buckets + 1
    steps = _steps_to_keep(session, chosen[:2], low=low, high=high, width=width, extremes=extremes)
    return _points(session, [*chosen[:2], col(Metric.step).in_(steps)])


def _steps_to_keep(
    session: Session,
    series: Sequence[ColumnElement[bool]],
    *,
    low: int,
    high: int,
    width: int,
    extremes: bool,
) -> list[int]:
    """The steps of the first, last, lowest and highest point of each bucket.

    If `extremes` is False, the result has only each bucket's first point and the last point.

    The query generates the buckets, and for each bucket reads a range of the primary key. Grouping
    the rows by a computed bucket and joining them to their extremes took four times as long for
    100,000 rows, because no index contains the bucket.
    """
    edge = select(literal(low).label("low")).cte("edge", recursive=True)
    edge = edge.union_all(select(edge.c.low + width).where(edge.c.low + width <= high))
    within = [
        *series,
        col(Metric.step) >= edge.c.low,
        col(Metric.step) < edge.c.low + width,
        col(Metric.step) <= high,
    ]

    def end(order: ColumnElement[Any], *conditions: ColumnElement[bool]) -> ScalarSelect[int]:
        point = select(Metric.step).where(*within, *conditions).order_by(order).limit(1)
        return point.correlate(edge).scalar_subquery()

    first = end(col(Metric.step).asc())
    if not extremes:
        firsts = session.exec(select(first).select_from(edge)).all()
        return sorted({*firsts, high} - {None})
    is_finite = col(Metric.value).is_not(None)
    query = select(
        first,
        end(col(Metric.step).desc()),
        end(col(Metric.value).asc(), is_finite),
        end(col(Metric.value).desc(), is_finite),
    )
    rows = session.exec(query.select_from(edge)).all()
    return sorted({step for row in rows for step in row if step is not None})


def _points(session: Session, chosen: Sequence[ColumnElement[bool]]) -> Series:
    # Selects columns, not entities: building ORM objects took longer than the query.
    query = (
        select(  # type: ignore[call-overload]  # sqlmodel types up to four columns
            Metric.step,
            Metric.value,
            MetricStep.epoch,
            MetricStep.tokens_seen,
            MetricStep.words_seen,
            MetricStep.time,
        )
        .join(
            MetricStep,
            (col(MetricStep.job_id) == col(Metric.job_id))
            & (col(MetricStep.step) == col(Metric.step)),
        )
        .where(*chosen)
        .order_by(col(Metric.step))
    )
    columns = list(zip(*session.exec(query).all(), strict=True))
    return Series(*map(list, columns)) if columns else Series()
