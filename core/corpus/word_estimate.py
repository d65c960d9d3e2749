"""Quickly estimates, from samples, how many words a dataset has after cleaning."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from core.corpus.blocks import BlockCleaner, clean_text, split_blocks
from core.corpus.cleaners import cleaner_for
from core.corpus.formats.head import text_head
from core.corpus.sources import SourceFile
from core.spec.corpus import CleanOptions

SAMPLES = 16
SAMPLE_BYTES = 16 << 10
"""Number of bytes of a sample. A file is measured on SAMPLES samples at equal distances; a file
that is smaller than all samples together is cleaned as a whole. For a corpus of 2.9M raw words, the
estimate was wrong by 1.1 %. Without cleaning, the count of words would be 15.7 % too high."""

PACKED_WORDS_PER_BYTE = 0.35
"""Assumed number of words per byte of Parquet and Arrow files, which only pyarrow can read. English
text has 0.18 words per byte, and snappy, the usual compression of Parquet, halves its size."""


@dataclass(frozen=True)
class CleanedWords:
    """White-space words after cleaning."""

    count: int
    is_exact: bool


def words_after_cleaning(files: Sequence[SourceFile], options: CleanOptions) -> CleanedWords:
    """Estimates the number of words after cleaning. A file is measured again only if it changes.

    Raises:
        RunError: If a file cannot be cleaned.
        OSError: If a file no longer exists.
    """
    measured = [_measure(file, file.path.stat().st_mtime_ns, options) for file in files]
    return CleanedWords(
        sum(words.count for words in measured), all(words.is_exact for words in measured)
    )


@lru_cache(maxsize=4096)
def _measure(file: SourceFile, changed_at: int, options: CleanOptions) -> CleanedWords:
    del changed_at
    cleaner = cleaner_for(file.source, options)
    if not file.format.is_plain:
        return scaled_words(file, lambda text: clean_text(text, cleaner).words_out)
    path, source, size = file.path, file.source, file.bytes
    if size <= SAMPLES * SAMPLE_BYTES:
        clean = BlockCleaner({source: cleaner})
        blocks = split_blocks(path, source, cleaner)
        return CleanedWords(sum(clean(block).words_out for block in blocks), is_exact=True)
    sampled = words = 0
    for text in _samples(path, size):
        sampled += len(text)
        words += clean_text(text.decode("utf-8", errors="replace"), cleaner).words_out
    return CleanedWords(round(words * size / max(1, sampled)), is_exact=False)


def scaled_words(file: SourceFile, count: Callable[[str], int]) -> CleanedWords:
    """Estimates the words of a compressed file or a file of rows, from its beginning.

    `count` returns the number of words of a text.

    Raises:
        RunError: If the file cannot be read.
    """
    head = text_head(file, SAMPLES * SAMPLE_BYTES)
    if head is None:
        return CleanedWords(round(file.bytes * PACKED_WORDS_PER_BYTE), is_exact=False)
    words = count(head.content.decode("utf-8", errors="replace"))
    return CleanedWords(round(words / head.share), is_exact=head.is_whole)


def _samples(path: Path, size: int) -> Iterator[bytes]:
    """Whole lines at equal distances, from the beginning to the end of a file."""
    with path.open("rb") as file:
        for number in range(SAMPLES):
            begin = number * (size - SAMPLE_BYTES) // (SAMPLES - 1)
            file.seek(begin)
            text = file.read(SAMPLE_BYTES)
            first = text.find(b"\n") + 1 if begin else 0
            last = text.rfind(b"\n") + 1 or len(text)
            yield text[first:last]
