"""Reads the text column of JSON lines and CSV files, row by row.

For a row that cannot be read, a reader yields a `BadRow`, so that the caller can count such rows.
"""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.corpus.formats.compression import READ_BYTES, Stream
from core.errors import CorpusColumnMissing, CorpusEncoding

LONGEST_ROW_BYTES = 32 << 20
"""Maximum bytes of a row. Longer rows are refused, because memory holds several copies of a row."""
SHOWN_COLUMNS = 20
SHOWN_NAME = 40
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class RowOptions:
    """How rows become text."""

    column: str = "text"
    mode: Literal["documents", "lines"] = "documents"
    """`documents`: each row is a document; `lines`: each row is a line, and an empty row ends a
    document."""


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read."""

    where: str
    """Place of the row in the file, such as `line 12`."""
    reason: str


Row = str | BadRow
"""The text of a row, or a row that cannot be read. The text is empty if the value is null."""


def read_jsonl(stream: Stream, path: Path, column: str) -> Iterator[Row]:
    """The rows of a file with one JSON object per line. Blank lines are ignored.

    Raises:
        CorpusColumnMissing: If the first row lacks the column.
        CorpusEncoding: If a row is too long.
    """
    is_first = True
    for where, row in json_rows(stream, path):
        if isinstance(row, BadRow):
            yield row
            continue
        if is_first and column not in row:
            raise column_missing(path, column, list(row))
        is_first = False
        yield _value(row, column, where)


def json_rows(
    stream: Stream, path: Path
) -> Iterator[tuple[str, dict[str, Any] | BadRow]]:  # any JSON value
    """Each line of a JSON lines file: its place, such as `line 12`, and its object or a `BadRow`.

    Skips blank lines.

    Raises:
        CorpusEncoding: If a line is too long.
    """
    for number, line in enumerate(_lines(stream, path), start=1):
        if line.strip():
            where = f"line {number:,}"
            yield where, _json_row(line, where)


def read_csv(stream: Stream, path: Path, column: str) -> Iterator[Row]:
    """The rows of a CSV file with a header, commas between fields and `"` as quotes (RFC 4180).

    Raises:
        CorpusColumnMissing: If the header lacks the column.
        CorpusEncoding: If the file is not UTF-8 or not CSV, or if a row is too long.
    """
    csv.field_size_limit(LONGEST_ROW_BYTES)
    reader = csv.reader(_decoded(_lines(stream, path), path))
    rows = _csv_rows(reader, path)
    header = next(rows, [])
    if column not in header:
        raise column_missing(path, column, header)
    place = header.index(column)
    for row in rows:
        if not row:
            continue
        if len(row) == len(header):
            yield row[place]
        else:
            reason = f"has {len(row)} fields, and the header has {len(header)}"
            yield BadRow(f"line {reader.line_num:,}", reason)


def column_missing(path: Path, column: str, columns: list[str]) -> CorpusColumnMissing:
    """The error for a file without the column; it lists the columns that the file has."""
    shown = ", ".join(repr(str(each)[:SHOWN_NAME]) for each in columns[:SHOWN_COLUMNS])
    return CorpusColumnMissing(
        f"{path} has no column {column!r}; it has: {shown or 'no column at all'}"
    )


TEXT_READERS: dict[str, Callable[[Stream, Path, str], Iterator[Row]]] = {
    ".jsonl": read_jsonl,
    ".csv": read_csv,
}
"""Readers by suffix, for the formats that the standard library can read."""


def _json_row(line: bytes, where: str) -> dict[str, Any] | BadRow:  # any JSON value
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        return BadRow(where, f"is not JSON: {error.msg} at column {error.colno:,}")
    except UnicodeDecodeError as error:
        return BadRow(where, f"is not UTF-8 at byte {error.start + 1:,}")
    except (ValueError, RecursionError) as error:  # too many digits, too deep brackets
        return BadRow(where, f"is not JSON: {str(error)[:80]}")
    return row if isinstance(row, dict) else BadRow(where, "is no JSON object")


def _value(row: dict[str, Any], column: str, where: str) -> Row:  # any JSON value
    if column not in row:
        return BadRow(where, f"has no field {column!r}")
    value = row[column]
    if value is None:
        return ""
    if not isinstance(value, str):
        return BadRow(where, f"has a field {column!r} that is no string")
    return value


def _lines(stream: Stream, path: Path) -> Iterator[bytes]:
    """The lines with their line breaks, and without a byte-order mark."""
    waiting, is_first = b"", True
    while True:
        block = stream.read(READ_BYTES)
        *lines, rest = (waiting + block).split(b"\n") if b"\n" in block else (waiting + block,)
        for line in lines:
            yield (line.removeprefix(BYTE_ORDER_MARK) if is_first else line) + b"\n"
            is_first = False
        waiting = rest
        if len(waiting) > LONGEST_ROW_BYTES:
            raise too_long(path)
        if not block:
            if waiting:
                yield waiting.removeprefix(BYTE_ORDER_MARK) if is_first else waiting
            return


def _decoded(lines: Iterator[bytes], path: Path) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            raise CorpusEncoding(
                f"{path} is not UTF-8: line {number:,}, byte {error.start + 1:,}"
            ) from error


def _csv_rows(reader: Iterator[list[str]], path: Path) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        if "limit" in str(error):
            raise too_long(path) from error
        raise CorpusEncoding(f"{path} is no CSV file: {error}") from error


def too_long(path: Path) -> CorpusEncoding:
    """The error for a row that would need too much memory."""
    return CorpusEncoding(
        f"{path} has a row of more than {LONGEST_ROW_BYTES:,} bytes",
        hint="Split the text into several rows; a quotation mark that is not closed also causes "
        "this in a CSV file.",
    )
