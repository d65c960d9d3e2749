"""The orders of the list of jobs, and the cursors of its pages.

A cursor has the values of the last row of a page, see `jobs.cursors`. Jobs without a value come
last in both directions, and jobs with equal values are newest first.
"""

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Float, and_, cast, func, or_
from sqlmodel import Session, col, select

from core.events.metrics import BY_NAME
from jobs.cursors import ID, decode, encode, rows_after
from jobs.errors import CursorInvalid
from jobs.tables import Job

Kind = Literal["number", "text", "time"]
Column = ColumnElement[Any]  # a value of any of the kinds
METRIC = re.compile(r"[a-z]+(/[A-Za-z0-9_.-]+){1,2}")
MAX_NAME = 64
"""Maximum length of the name of a metric, as in the table `metric`."""
MEMORY = ("memory/device_allocated_bytes", "memory/host_rss_bytes")


def _item(column: Any, *path: str) -> Any:  # SQLAlchemy has no type for an item of a JSON column
    return col(column)[path]


def _column(attribute: Any) -> Column:  # a type checker sees a value, not a column
    column: Column = attribute
    return column


def _latest(name: str) -> Column:
    """The latest value of a metric."""
    value: Column = _item(Job.latest_metrics, "values", name).as_float()
    return value


COLUMNS: dict[str, tuple[Kind, Column]] = {
    "started": ("time", _column(Job.started_at)),
    "finished": ("time", _column(Job.finished_at)),
    "time": ("time", func.coalesce(Job.finished_at, Job.started_at, Job.created_at)),
    "name": ("text", func.lower(Job.name)),
    "status": ("text", _column(Job.status)),
    "progress": ("number", cast(Job.progress, Float)),
    "step": ("number", cast(Job.step, Float)),
    "words_seen": ("number", _item(Job.latest_metrics, "words_seen").as_float()),
    "memory": ("number", func.coalesce(*(_latest(name) for name in MEMORY))),
    "seed": ("number", _item(Job.spec, "training", "seed").as_float()),
    "learning_rate": ("number", _item(Job.spec, "training", "learning_rate").as_float()),
    "architecture": ("text", _item(Job.spec, "model", "architecture").as_string()),
    "dataset": ("text", _item(Job.spec, "data", "dataset").as_string()),
}
"""Kind and column of each value by which jobs can be sorted. Two kinds of values are not listed
here: `created`, which `jobs.store.list_jobs` handles with an index, and the metrics, see `_latest`.
`time` is the time of the job's end, or of its start if it has not ended, or of its submission if it
has not started."""
CREATED = "created"
EVALUATION = "evaluation/TASK"


@dataclass(frozen=True)
class Order:
    """A value by which jobs are sorted, and the direction."""

    name: str
    is_descending: bool = False

    @property
    def text(self) -> str:
        """The order as it is written in a request."""
        return f"-{self.name}" if self.is_descending else self.name


NEWEST_FIRST = Order(CREATED, is_descending=True)


def parse_order(text: str) -> Order | None:
    """The order `NAME`, or `-NAME` for descending; None if jobs cannot be sorted by that name."""
    name = text.removeprefix("-")
    is_known = name == CREATED or name in COLUMNS or _is_metric(name)
    return Order(name, is_descending=text.startswith("-")) if is_known else None


def order_names() -> list[str]:
    """The names that `parse_order` accepts. Capitals, such as TASK, are placeholders for a name."""
    metrics = [name for name in BY_NAME if not name.startswith("evaluation/")]
    return [CREATED, *COLUMNS, *metrics, EVALUATION]


def sorted_page(
    session: Session,
    order: Order,
    *,
    where: Sequence[ColumnElement[bool]],
    limit: int,
    after: str | None,
) -> tuple[list[Job], str | None]:
    """A page of jobs in an order other than by creation, and the cursor of the next page, if any.

    The database sorts only the values and ids, not the wide rows of the jobs.

    Raises:
        CursorInvalid: If `after` is not a cursor of this order.
    """
    kind, column = COLUMNS.get(order.name) or ("number", _latest(order.name))
    position = None if after is None else _read_cursor(after, order, kind)
    keys: list[_Key] = []
    if position is None or position.value is not None:
        keys += _known(session, order, column, where=where, count=limit + 1, after=position)
    if len(keys) <= limit:
        start = position if position is not None and position.value is None else None
        rest = limit + 1 - len(keys)
        keys += _unknown(session, column, where=where, count=rest, after=start)
    wanted = [key.job_id for key in keys[:limit]]
    jobs = {job.id: job for job in session.exec(select(Job).where(col(Job.id).in_(wanted)))}
    cursor = _make_cursor(order, keys[limit - 1]) if len(keys) > limit else None
    return [jobs[job_id] for job_id in wanted if job_id in jobs], cursor


@dataclass(frozen=True)
class _Key:
    """The position of a job in an order."""

    value: float | str | datetime | None
    created_at: datetime
    job_id: str


def _known(
    session: Session,
    order: Order,
    column: Column,
    *,
    where: Iterable[ColumnElement[bool]],
    count: int,
    after: _Key | None,
) -> list[_Key]:
    """The next jobs that have a value."""
    query = select(column, Job.created_at, Job.id).where(column.is_not(None), *where)
    if after is not None:
        beyond = column < after.value if order.is_descending else column > after.value
        older = rows_after(Job, after.created_at, after.job_id)
        query = query.where(or_(beyond, and_(column == after.value, older)))
    direction = column.desc() if order.is_descending else column
    query = query.order_by(direction, col(Job.created_at).desc(), col(Job.id).desc())
    return [_Key(*row) for row in session.exec(query.limit(count))]


def _unknown(
    session: Session,
    column: Column,
    *,
    where: Iterable[ColumnElement[bool]],
    count: int,
    after: _Key | None,
) -> list[_Key]:
    """The next jobs that have no value, newest first."""
    query = select(Job.created_at, Job.id).where(column.is_(None), *where)
    if after is not None:
        query = query.where(rows_after(Job, after.created_at, after.job_id))
    query = query.order_by(col(Job.created_at).desc(), col(Job.id).desc())
    return [_Key(None, *row) for row in session.exec(query.limit(count))]


def _is_metric(name: str) -> bool:
    if name in BY_NAME:
        return not name.rpartition("/")[2].isupper()
    if len(name) > MAX_NAME or not METRIC.fullmatch(name):
        return False
    family = name.rpartition("/")[0]
    return family == "evaluation" or any(
        known.rpartition("/")[0] == family and known.rpartition("/")[2].isupper()
        for known in BY_NAME
    )


def _make_cursor(order: Order, key: _Key) -> str:
    value = key.value.isoformat() if isinstance(key.value, datetime) else key.value
    parts = [order.text, value, key.created_at.isoformat(), key.job_id]
    text = json.dumps(parts, separators=(",", ":"), ensure_ascii=False)
    return encode(text)


def _read_cursor(cursor: str, order: Order, kind: Kind) -> _Key:
    """The position in a cursor. Accepts only what `_make_cursor` can write for this order."""
    try:
        written, value, created_at, job_id = json.loads(decode(cursor))
        key = _Key(_read_value(value, kind), datetime.fromisoformat(created_at), job_id)
        is_ours = (
            written == order.text
            and key.created_at.tzinfo is UTC
            and ID.fullmatch(job_id)
            and _make_cursor(order, key) == cursor
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise CursorInvalid(cursor) from error
    if not is_ours:
        raise CursorInvalid(cursor)
    return key


def _read_value(value: object, kind: Kind) -> float | str | datetime | None:
    """The value of a cursor.

    Raises:
        ValueError: If the value is not of this kind, or if a database cannot compare with it.
    """
    if value is None:
        return None
    if kind == "number" and isinstance(value, float) and math.isfinite(value):
        return value
    if kind == "text" and isinstance(value, str) and "\0" not in value:
        return value
    if kind == "time" and isinstance(value, str):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is UTC:
            return moment
    raise ValueError(f"{value!r} is not a {kind}")
