"""The time of the database server, which all hosts share. With SQLite, the time of the host."""

from datetime import UTC, datetime

from sqlmodel import Session, func, select

from core.events.types import now


def database_time(session: Session) -> datetime:
    """The current time."""
    if session.get_bind().dialect.name == "sqlite":
        return now()
    moment: datetime = session.exec(select(func.clock_timestamp())).one()
    return moment.astimezone(UTC)
