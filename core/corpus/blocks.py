"""A text file in blocks of whole lines, and what cleans a block in whatever process.

Imports little, because a helper process waits for it.
"""

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.corpus.rules import (
    Cleaner,
    Drops,
    clean_normal,
    count_words,
    normal_block,
    without_controls,
)
from core.errors import CorpusEncoding, CorpusMissing

BLOCK_BYTES = 1 << 19
"""Text cleaned at once."""
LONGEST_LINE_BYTES = 16 << 20
"""A longer line is no text; it would have to be held in memory whole, several times over."""


@dataclass(frozen=True)
class Block:
    """Whole lines of a text file."""

    path: Path
    source: str
    begin: int
    end: int


@dataclass(frozen=True)
class CleanedBlock:
    """A block after cleaning, with its counts."""

    content: bytes
    """Lines joined by line breaks, an empty one between documents, none at either end."""
    begins_document: bool
    """An empty line stands before the first line (or anywhere, where no line is left)."""
    ends_document: bool
    """An empty line stands behind the last line."""
    documents_within: int
    """Empty lines within the content."""
    lines_in: int
    lines_out: int
    words_in: int
    words_out: int
    drops: Drops


class BlockCleaner:
    """Cleans blocks with the cleaners of their sources."""

    def __init__(self, cleaners: Mapping[str, Cleaner]) -> None:
        self._cleaners = cleaners

    def __call__(self, block: Block) -> CleanedBlock:
        """The clean text of a block.

        Raises:
            CorpusMissing: If the file is gone.
            CorpusEncoding: If it is not UTF-8.
        """
        try:
            with block.path.open("rb") as file:
                file.seek(block.begin)
                raw = file.read(block.end - block.begin)
        except OSError as error:
            raise CorpusMissing(f"{block.path} cannot be read: {error.strerror}") from error
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise _not_utf8(block.path) from error
        return clean_text(text, self._cleaners[block.source])


def clean_text(text: str, cleaner: Cleaner) -> CleanedBlock:
    """Cleans whole lines."""
    drops = Drops()
    normal = normal_block(text)
    words_in, lines_in = count_words(normal), normal.count("\n") - 1
    cleaned = clean_normal(without_controls(normal, drops), cleaner, drops)
    content = cleaned.strip("\n")
    while "\n\n\n" in content:
        content = content.replace("\n\n\n", "\n\n")
    within = content.count("\n\n")
    lines = content.count("\n") + 1 - within if content else 0
    return CleanedBlock(
        content=content.encode(),
        begins_document=cleaned.startswith("\n\n"),
        ends_document=cleaned.endswith("\n\n"),
        documents_within=within,
        lines_in=lines_in,
        lines_out=lines,
        words_in=words_in,
        words_out=content.count(" ") + lines,
        drops=drops,
    )


def split_blocks(path: Path, source: str) -> Iterator[Block]:
    """The file in blocks, cut behind line breaks.

    Raises:
        CorpusMissing: If it cannot be opened.
        CorpusEncoding: If a line is longer than any text has.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise CorpusMissing(f"{path} cannot be read: {error.strerror}") from error
    with file:
        size = path.stat().st_size
        if size == 0:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            begin = 0
            while begin < size:
                end = text.find(b"\n", begin + BLOCK_BYTES) + 1 or size
                if end - begin > LONGEST_LINE_BYTES:
                    _check_lines(path, text, begin, end)
                yield Block(path, source, begin, end)
                begin = end


def _check_lines(path: Path, text: mmap.mmap, begin: int, end: int) -> None:
    line_begin = text.rfind(b"\n", begin, min(end - 1, begin + BLOCK_BYTES)) + 1 or begin
    if end - line_begin > LONGEST_LINE_BYTES:
        raise CorpusEncoding(
            f"{path} has a line of more than {LONGEST_LINE_BYTES:,} bytes, at byte {line_begin:,}",
            hint="Break the text into lines.",
        )


def _not_utf8(path: Path) -> CorpusEncoding:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return CorpusEncoding(
                    f"{path} is not UTF-8: line {number}, byte {error.start + 1} "
                    f"is 0x{line[error.start]:02x}"
                )
    return CorpusEncoding(f"{path} changed while it was read")
