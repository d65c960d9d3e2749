"""What commands print: tables for people, JSON for programs, and figures in human units."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

GAP = 2
"""Number of spaces between two cells of a table."""
BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def print_json(value: Any) -> None:  # any JSON value
    """Prints `value` as JSON: indented on a terminal, on one line into a pipe."""
    indent = 2 if sys.stdout.isatty() else None
    print(json.dumps(value, ensure_ascii=False, indent=indent), flush=True)


def print_json_line(value: Any) -> None:  # Any, as above
    """Prints `value` as JSON on one line, for a stream of values."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def print_note(text: str) -> None:
    """Prints a remark to standard error, so that standard output contains only the result."""
    print(text, file=sys.stderr, flush=True)


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    empty: str,
    shortened: str | None = None,
) -> None:
    """Prints a table, or the sentence `empty` if there are no rows.

    Args:
        columns: The headings.
        rows: The cells.
        empty: The sentence to print if there are no rows.
        shortened: The column that is cut with an ellipsis until the table fits the terminal.
    """
    if not rows:
        print_note(empty)
        return
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=10_000)  # a pipe has no width, so lines are never wrapped
    console.print(make_table(columns, rows, width=console.width, shortened=shortened))


def make_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int,
    shortened: str | None = None,
) -> "Table":
    """The table of `print_table`, for a terminal with `width` columns."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=shortened is not None)
    cells = [[Text(printable(cell)) for cell in row] for row in rows]
    if shortened is not None:
        cut = columns.index(shortened)
        widths = [
            max(len(name), *(row[number].cell_len for row in cells))
            for number, name in enumerate(columns)
        ]
        room = width - sum(widths) + widths[cut] - GAP * len(columns)
        for row in cells:
            row[cut].truncate(max(len(shortened), room), overflow="ellipsis")
    for row in cells:
        table.add_row(*row)
    return table


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Prints names and values in two columns; leaves out pairs with an empty value."""
    width = max((len(name) for name, value in pairs if value), default=0)
    for name, value in pairs:
        if value:
            print(f"{name:<{width}}  {printable(value)}")


def printable(text: str) -> str:
    """`text` with `?` in place of control characters, which could change the terminal.

    Names and logs can come from other people.
    """
    return "".join(sign if sign.isprintable() or sign == "\n" else "?" for sign in text)


def in_bytes(count: float | None) -> str:
    """A number of bytes as text with a suitable unit."""
    if count is None:
        return ""
    unit, digits = 0, 0
    # Rounds before the comparison: 1023.9 KiB is 1 MiB, not 1024 KiB.
    while abs(round(count, digits)) >= 1024 and unit < len(BINARY_UNITS) - 1:
        count, unit = count / 1024, unit + 1
        digits = 0 if unit < 3 else 1
    return f"{count:.{digits}f} {BINARY_UNITS[unit]}"


def in_time(seconds: float | None) -> str:
    """A duration as 1:02:03, or 2:03 below an hour."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    clock = f"{minutes:02}:{whole % 60:02}"
    return f"{hours}:{clock}" if hours else clock.removeprefix("0")


def in_short(number: float) -> str:
    """A count in a short form, such as 950, 12.3k or 4.5M."""
    if abs(round(number)) < 10_000:
        return f"{number:.0f}"
    for size, unit in ((1e3, "k"), (1e6, "M")):
        # Rounds before the comparison: 999.99k is 1.0M, not 1000.0k.
        if abs(round(number / size, 1)) < 1000:
            return f"{number / size:.1f}{unit}"
    return f"{number / 1e9:.1f}G"


def age(moment: str | None) -> str:
    """The age of an RFC 3339 time in the largest unit that gives at least 2, else in seconds."""
    if not moment:
        return ""
    then = datetime.fromisoformat(moment)
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    seconds = max(0.0, (datetime.now(UTC) - then).total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
