"""Cursors of the pages of a list, and the condition on the rows of the next page.

A page begins after the last row of the previous page (keyset pagination), so a row that is added or
removed meanwhile shifts no other row.
"""

import base64
import re
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, and_, or_
from sqlmodel import col

from jobs.errors import CursorInvalid
from jobs.tables import ID_LENGTH, Job, Study

ID = re.compile(rf"[0-9a-f]{{{ID_LENGTH}}}")


def make_cursor(moment: datetime, row_id: str) -> str:
    """The cursor of the page after a row, from its time and id."""
    return encode(f"{moment.isoformat()} {row_id}")


def read_cursor(cursor: str) -> tuple[datetime, str]:
    """The time and id in a cursor. Accepts only cursors that `make_cursor` can write.

    Other cursors could contain values that a database refuses, such as the year 1 in a zone east of
    Greenwich, or an id with a NUL.

    Raises:
        CursorInvalid: If `cursor` is not such a cursor.
    """
    try:
        moment, row_id = decode(cursor).split(" ")
        parsed = datetime.fromisoformat(moment)
    except ValueError as error:
        raise CursorInvalid(cursor) from error
    is_ours = (
        parsed.tzinfo is UTC and ID.fullmatch(row_id) and make_cursor(parsed, row_id) == cursor
    )
    if not is_ours:
        raise CursorInvalid(cursor)
    return parsed, row_id


def rows_after(
    table: type[Job] | type[Study], moment: datetime, row_id: str, *, is_descending: bool = True
) -> ColumnElement[bool]:
    """The condition on the rows that follow a row in the order of time and id."""
    created_at, number = col(table.created_at), col(table.id)
    if is_descending:
        return or_(created_at < moment, and_(created_at == moment, number < row_id))
    return or_(created_at > moment, and_(created_at == moment, number > row_id))


def encode(text: str) -> str:
    """The text in URL-safe base64, without padding."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str) -> str:
    """The text in a cursor.

    Raises:
        ValueError: If the cursor is not UTF-8 in URL-safe base64.
    """
    padded = cursor + "=" * (-len(cursor) % 4)
    return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
