"""Encodes clean text files into the token file of a split, in several processes."""

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
"""Increase it if a change of the code gives another token file for the same text and tokenizer."""
MAX_PROCESSES = 4
"""Maximum number of processes. Four encode 100 MB in about a second. More processes would need over
1 GB of memory in all."""
BYTES_PER_PROCESS = 6 << 20
"""Minimum bytes of text per process, because starting a process takes 0.3 s of CPU time."""


@dataclass(frozen=True)
class SplitReport:
    """The result of encoding a split."""

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

    The result does not depend on the number of processes.

    Args:
        files: One file per source, in the order of the token file.
        tokenizer: Folder of the tokenizer.
        output: An existing folder. It is empty or contains an interrupted encoding of the same
            text, which then continues from the last saved progress.
        progress: Receives the share of the text that is written.
        should_stop: Checked several times per second.
        processes: Number of processes; None: as many as the text and the cores allow.

    Raises:
        CorpusEmpty: If there is no text.
        CorpusEncoding: If a file is not UTF-8.
        Stopped: After a stop request.
        TokenOutOfVocabulary: If the tokenizer gives an id that is not in its vocabulary.
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
    """The chunks after the first `done` bytes of the concatenated files."""
    for path in files:
        size = path.stat().st_size
        yield from split_file(path, begin=min(done, size))
        done = max(0, done - size)
