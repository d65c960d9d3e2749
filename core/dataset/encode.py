"""Clean text files to the token file of a split, on several processes."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.dataset.chunks import Chunk, ChunkEncoder, split_file
from core.dataset.tokens import TokenMeta
from core.dataset.writer import SplitWriter
from core.errors import Stopped
from core.process.pool import serve_in_order

ENCODE_VERSION = 1
"""Raised whenever the same text and tokenizer would give another token file."""
MAX_PROCESSES = 4
"""More would take over 1 GB in all, and four already encode 100 MB in about a second."""
BYTES_PER_PROCESS = 6 << 20
"""Less text than this is not worth another process: it takes 0.3 s of work to start one."""


@dataclass(frozen=True)
class SplitReport:
    """What encoding a split gave."""

    meta: TokenMeta
    seconds: float
    processes: int


def encode_split(
    files: Sequence[Path],
    *,
    tokenizer: Path,
    output: Path,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
    processes: int | None = None,
) -> SplitReport:
    """Encodes clean text files into a token file in the folder `output`.

    The result is the same, byte for byte, whatever the number of processes.

    Args:
        files: One for each source, in the order in which they are to stand.
        tokenizer: Folder of the tokenizer.
        output: An existing folder; empty, or left by an encoding of the same text that was
            interrupted, which goes on where its newest note of progress says.
        progress: Told the share of the text that is written.
        should_stop: Asked several times a second.
        processes: None takes as many as the text is worth.

    Raises:
        CorpusEmpty: If there is no text.
        CorpusEncoding: If a file is not UTF-8.
        Stopped: If a stop was asked for.
        TokenOutOfVocabulary: If the tokenizer gives an id that is not below its size.
    """
    began = time.monotonic()
    total = sum(path.stat().st_size for path in files)
    if processes is None:
        cores = len(os.sched_getaffinity(0))
        processes = max(1, min(cores, MAX_PROCESSES, total // BYTES_PER_PROCESS))
    with SplitWriter.open(output) as writer:
        chunks = list(_chunks(files, writer.progress.text_bytes))
        results = serve_in_order(
            chunks, make=ChunkEncoder, argument=tokenizer, count=processes, should_stop=should_stop
        )
        for chunk, result in zip(chunks, results, strict=True):
            if should_stop():
                raise Stopped
            writer.add(chunk.path.stem, chunk.end - chunk.begin, result)
            progress(writer.progress.text_bytes / total)
        meta = writer.finish()
    return SplitReport(meta, time.monotonic() - began, processes)


def _chunks(files: Sequence[Path], done: int) -> Iterator[Chunk]:
    """The text behind the first `done` bytes of all files in a row."""
    for path in files:
        size = path.stat().st_size
        yield from split_file(path, begin=min(done, size))
        done = max(0, done - size)
