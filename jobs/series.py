"""Metrics as series by step, downsampled in the database for display."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Executable, Integer, ScalarSelect, bindparam, func
from sqlmodel import Session, col, select

from core.spec.training import MAX_STEPS
from jobs.expressions import is_one_of
from jobs.tables import Metric, MetricStep

MAX_POINTS = 500
POINTS_A_BUCKET = 4
"""Number of points that remain of each bucket (a range of steps): the first, last, lowest and
highest, so that the peaks and ends of the curve remain."""
Values = dict[str, Any]
"""Values of the parameters of a statement, by name."""


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
    values = {"job_id": job_id, "after_step": after_step}
    values["before_step"] = MAX_STEPS + 1 if before_step is None else before_step
    return {
        name: _series(session, values | {"name": name}, max_points=max_points, extremes=extremes)
        for name in names
    }


def _series(session: Session, values: Values, *, max_points: int, extremes: bool) -> Series:
    extent = session.execute(EXTENT, values | {"limit": max_points + 1}).one()
    if extent.num_points <= max_points:
        return _points(session, POINTS, values)
    low, high = extent.lowest, extent.highest
    num_buckets = max_points // POINTS_A_BUCKET if extremes else max_points - 1
    edges = {"low": low, "high": high, "width": (high - low) // num_buckets + 1}
    found = session.execute(EXTREMES if extremes else FIRSTS, values | edges)
    steps = {step for row in found for step in row if step is not None} | {high}
    return _points(session, POINTS_AT, values | {"steps": sorted(steps)})


def _points(session: Session, query: Executable, values: Values) -> Series:
    columns = list(zip(*session.execute(query, values).all(), strict=True))
    return Series(*map(list, columns)) if columns else Series()


def _steps_to_keep(*, extremes: bool) -> Executable:
    """The query for the steps of the first, last, lowest and highest point of each bucket.

    If `extremes` is False, the query finds only the step of the first point of each bucket.

    The query generates the buckets, and for each bucket reads a range of the primary key. Grouping
    the rows by a computed bucket and joining them to their extremes took four times as long for
    100,000 rows, because no index contains the bucket.
    """
    width: ColumnElement[int] = bindparam("width", type_=Integer())
    high: ColumnElement[int] = bindparam("high", type_=Integer())
    low: ColumnElement[int] = bindparam("low", type_=Integer())
    edge = select(low.label("low")).cte("edge", recursive=True)
    edge = edge.union_all(select(edge.c.low + width).where(edge.c.low + width <= high))
    within = [
        *OF_SERIES,
        col(Metric.step) >= edge.c.low,
        col(Metric.step) < edge.c.low + width,
        col(Metric.step) <= high,
    ]

    def end(order: ColumnElement[Any], *conditions: ColumnElement[bool]) -> ScalarSelect[int]:
        point = select(Metric.step).where(*within, *conditions).order_by(order).limit(1)
        return point.correlate(edge).scalar_subquery()

    first = end(col(Metric.step).asc())
    if not extremes:
        return select(first).select_from(edge)
    is_finite = col(Metric.value).is_not(None)
    query = select(
        first,
        end(col(Metric.step).desc()),
        end(col(Metric.value).asc(), is_finite),
        end(col(Metric.value).desc(), is_finite),
    )
    return query.select_from(edge)


OF_SERIES = (col(Metric.job_id) == bindparam("job_id"), col(Metric.name) == bindparam("name"))
IN_RANGE = (
    *OF_SERIES,
    col(Metric.step) > bindparam("after_step"),
    col(Metric.step) < bindparam("before_step"),
)
# Statements are built once, because building one takes longer than the query.
LIMITED = select(Metric.step).where(*IN_RANGE).limit(bindparam("limit")).subquery()
# The subqueries for the lowest and the highest step each need one lookup in the primary key. `min`
# and `max` in one query would scan all points of the range.
EXTENT = select(
    select(func.count()).select_from(LIMITED).scalar_subquery().label("num_points"),
    select(func.min(Metric.step)).where(*IN_RANGE).scalar_subquery().label("lowest"),
    select(func.max(Metric.step)).where(*IN_RANGE).scalar_subquery().label("highest"),
)
EXTREMES = _steps_to_keep(extremes=True)
FIRSTS = _steps_to_keep(extremes=False)
# Selects columns, not entities: building ORM objects took longer than the query.
OF_STEP = (col(MetricStep.job_id) == col(Metric.job_id)) & (
    col(MetricStep.step) == col(Metric.step)
)
ALL_POINTS = (
    select(  # type: ignore[call-overload]  # sqlmodel types up to four columns
        Metric.step,
        Metric.value,
        MetricStep.epoch,
        MetricStep.tokens_seen,
        MetricStep.words_seen,
        MetricStep.time,
    )
    .join(MetricStep, OF_STEP)
    .order_by(col(Metric.step))
)
POINTS = ALL_POINTS.where(*IN_RANGE)
POINTS_AT = ALL_POINTS.where(*OF_SERIES, is_one_of(col(Metric.step), "steps", BigInteger))
