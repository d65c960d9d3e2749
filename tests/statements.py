"""The SQL statements that a test causes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

Statement = tuple[str, Any]
"""Text and parameters of a statement."""


@contextmanager
def statements(engine: Engine) -> Iterator[list[Statement]]:
    """Lists the statements that the engine executes within the block."""
    seen: list[Statement] = []

    def note(connection, cursor, statement, parameters, context, is_many):
        seen.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)
