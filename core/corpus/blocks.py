"""Splits a text file into blocks of whole lines, which several processes can clean.

The module imports little, because worker processes wait for its imports.
"""

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.corpus.books import Kind, Region, find_books
from core.corpus.content import require_text
from core.corpus.document_lengths import BlockLengths, block_lengths
from core.corpus.layouts import cut_paragraphs, join_paragraphs
from core.corpus.long_words import has_long_words, split_long_words
from core.corpus.rules import (
    EXAMPLE_CHARACTERS,
    Cleaner,
    Drops,
    clean_normal,
    count_words,
    normal_block,
    raw_block,
)
from core.errors import CorpusEncoding, CorpusMissing

BLOCK_BYTES = 1 << 19
"""Target size of a block in bytes. A block ends at the first line break after this size that the
cleaner allows (`Cleaner.cut`)."""
MAX_BLOCK_BYTES = 4 << 20
"""Maximum bytes of a block that ends after a whole unit of several lines, such as a paragraph. If
the unit is too long, the block ends within the unit, at a line break."""
LONGEST_LINE_BYTES = 16 << 20
"""Maximum bytes of a line. Longer lines are refused, because cleaning holds several copies of a
line in memory."""
READ_BYTES = 1 << 20
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Block:
    """Whole lines of a text file."""

    path: Path
    source: str
    begin: int
    end: int
    kind: Kind = "text"


@dataclass(frozen=True)
class CleanedBlock:
    """A block after cleaning, with its counts."""

    content: bytes
    """The lines, joined by line breaks, with one empty line between documents."""
    begins_document: bool
    """Whether an empty line precedes the first line. If cleaning left no text: whether it left an
    empty line."""
    ends_document: bool
    """Whether an empty line follows the last line."""
    documents_within: int
    """Number of empty lines within the content."""
    lengths: BlockLengths
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
            CorpusMissing: If the file no longer exists.
            CorpusEncoding: If the file is not UTF-8.
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
        if block.kind == "licence":
            return _licence(text)
        first_line = 1 + _count_lines(block.path, block.begin) if has_long_words(text) else 1
        cleaner = self._cleaners[block.source]
        return clean_text(text, cleaner, kind=block.kind, first_line=first_line)


def clean_text(
    text: str, cleaner: Cleaner, *, kind: Kind = "text", first_line: int = 1
) -> CleanedBlock:
    """Cleans whole lines. `first_line` is the number of the first line in its file."""
    drops = Drops()
    normal = normal_block(text)
    words_in = count_words(normal)
    lines_in = text.count("\n") + (not text.endswith("\n"))
    raw = split_long_words(text, drops, first_line=first_line)
    if kind == "book":
        raw = join_paragraphs(raw, drops)
    block = raw_block(raw, normal if raw is text else None, cleaner, drops)
    cleaned = clean_normal(block, cleaner, drops)
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
        lengths=block_lengths(content),
        lines_in=lines_in,
        lines_out=lines,
        words_in=words_in,
        words_out=content.count(" ") + lines,
        drops=drops,
    )


def _licence(text: str) -> CleanedBlock:
    """The result for a licence: no text, but the documents before and after it are separate."""
    lines = [line for line in text.split("\n") if line.strip()]
    drops = Drops()
    drops.add("licence", len(lines), [line.strip()[:EXAMPLE_CHARACTERS] for line in lines[:1]])
    return CleanedBlock(
        content=b"",
        begins_document=True,
        ends_document=True,
        documents_within=0,
        lengths=block_lengths(""),
        lines_in=text.count("\n") + (not text.endswith("\n")),
        lines_out=0,
        words_in=len(text.split()),
        words_out=0,
        drops=drops,
    )


def split_blocks(
    path: Path, source: str, cleaner: Cleaner | None = None, *, block_bytes: int = BLOCK_BYTES
) -> Iterator[Block]:
    """The blocks of a file.

    Each block ends after a line break, if possible after a whole unit, such as a paragraph. The
    last block ends at the end of the file.

    Raises:
        CorpusMissing: If the file cannot be opened.
        CorpusNotText: If the file is not text, such as a Git LFS pointer.
        CorpusEncoding: If a line has more than LONGEST_LINE_BYTES bytes.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise CorpusMissing(f"{path} cannot be read: {error.strerror}") from error
    with file:
        size = path.stat().st_size
        if size == 0:
            return
        require_text(path)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            finds_books = cleaner is not None and cleaner.finds_books
            regions = find_books(text) if finds_books else [Region(0, size, "text")]
            for region in regions:
                begin = region.begin
                while begin < region.end:
                    end = min(
                        region.end, _block_end(text, begin, region.kind, cleaner, block_bytes)
                    )
                    if end - begin > LONGEST_LINE_BYTES:
                        _check_lines(path, text, begin, end)
                    yield Block(path, source, begin, end, region.kind)
                    begin = end


def _block_end(
    text: mmap.mmap, begin: int, kind: Kind, cleaner: Cleaner | None, block_bytes: int
) -> int:
    """The end of a block that begins at `begin`. The caller limits it to the end of the region."""
    target = begin + block_bytes
    cut = cut_paragraphs if kind == "book" else cleaner.cut if cleaner is not None else None
    if cut is not None and (end := cut(text, target)) - begin <= MAX_BLOCK_BYTES:
        return end
    return text.find(b"\n", target) + 1 or len(text)


def _count_lines(path: Path, end: int) -> int:
    lines = 0
    with path.open("rb") as file:
        while end > 0 and (data := file.read(min(READ_BYTES, end))):
            lines += data.count(b"\n")
            end -= len(data)
    return lines


def _check_lines(path: Path, text: mmap.mmap, begin: int, end: int) -> None:
    while end - begin > LONGEST_LINE_BYTES:
        next_line = text.rfind(b"\n", begin, begin + LONGEST_LINE_BYTES) + 1
        if not next_line:
            raise CorpusEncoding(
                f"{path} has a line of more than {LONGEST_LINE_BYTES:,} bytes, at byte {begin:,}",
                hint="Break the text into lines.",
            )
        begin = next_line


def _not_utf8(path: Path) -> CorpusEncoding:
    with path.open("rb") as file:
        is_utf16 = file.read(2) in UTF16_MARKS
        file.seek(0)
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return CorpusEncoding(
                    f"{path} is not UTF-8: line {number}, byte {error.start + 1} "
                    f"is 0x{line[error.start]:02x}"
                    + (", the first byte of a UTF-16 file" if is_utf16 else "")
                )
    return CorpusEncoding(f"{path} changed while it was read")
