"""Finds the books in a Project Gutenberg file, between its headers and licences.

A raw file has a header, a START mark, the book, an END mark and the licence
(https://www.gutenberg.org/policy/license.html). BabyLM's files have books without these parts.
"""

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

START = re.compile(
    rb"^(?:\xef\xbb\xbf)?[ \t]*(?:\*{3} ?START OF TH(?:E|IS) PROJECT GUTENBERG[^\n]*"
    rb"|\*END\*? ?THE SMALL PRINT![^\n]*)(?:\n|\Z)",
    re.MULTILINE | re.IGNORECASE,
)
END = re.compile(
    rb"^[ \t]*(?:\*{3} ?END OF TH(?:E|IS) PROJECT GUTENBERG[^\n]*"
    rb"|End of (?:The |this )?Project Gutenberg[^\n]*)(?:\n|\Z)",
    re.MULTILINE | re.IGNORECASE,
)
BOOK_HEADER = re.compile(rb"^(?:\xef\xbb\xbf)?= = = [^\n]*\n", re.MULTILINE)
HEADER_LINE = re.compile(rb"^[^\n]*Project Gutenberg[^\n]*\n", re.MULTILINE | re.IGNORECASE)
MAX_HEADER_BYTES = 1 << 15
"""Maximum bytes of a header, which is the text before the START mark: title, credits and, until
2003, the small print."""
MAX_LICENCE_BYTES = 1 << 16
"""Maximum bytes after the END mark that count as the licence. The licence itself has 19 KB."""

Kind = Literal["text", "book", "licence"]


@dataclass(frozen=True)
class Region:
    """A part of a file, in bytes."""

    begin: int
    end: int
    kind: Kind
    """`book`: wrapped paragraphs between the marks; `text`: one paragraph per line, as in BabyLM;
    `licence`: a header or a licence, which is dropped."""


def find_books(text: mmap.mmap) -> Iterator[Region]:
    """The regions of a file, in order and without gaps."""
    at = 0
    kind: Kind = "text"
    for begin, end, following in _licences(text):
        if begin > at:
            yield Region(at, begin, kind)
        yield Region(begin, end, "licence")
        at, kind = end, following
    if at < len(text):
        yield Region(at, len(text), kind)


def _licences(text: mmap.mmap) -> Iterator[tuple[int, int, Kind]]:
    """Begin and end of each header and licence, with the kind of the text that follows it.

    A header ends with its START mark and is followed by a book. A licence begins with its END mark
    and is followed by text.
    """
    at = 0
    while at < len(text):
        start, end = START.search(text, at), END.search(text, at)
        if start is not None and (end is None or start.start() < end.start()):
            yield _header_begin(text, at, start.start()), start.end(), "book"
            at = start.end()
        elif end is not None:
            at = _licence_end(text, end.end())
            yield end.start(), at, "text"
        else:
            return


def _header_begin(text: mmap.mmap, at: int, mark: int) -> int:
    lowest = max(at, mark - MAX_HEADER_BYTES)
    for header in BOOK_HEADER.finditer(text, lowest, mark):
        lowest = header.start()
    first = HEADER_LINE.search(text, lowest, mark)
    return first.start() if first is not None else mark


def _licence_end(text: mmap.mmap, begin: int) -> int:
    """The end of a licence: where the next header or book begins, or after MAX_LICENCE_BYTES."""
    limit = min(len(text), begin + MAX_LICENCE_BYTES)
    ends = [limit]
    if (header := BOOK_HEADER.search(text, begin, limit)) is not None:
        ends.append(header.start())
    if (start := START.search(text, begin, limit)) is not None:
        # The next book begins with its header, which is dropped too.
        ends.append(_header_begin(text, begin, start.start()))
    end = min(ends)
    return end if end < limit or limit == len(text) else text.rfind(b"\n", begin, limit) + 1
