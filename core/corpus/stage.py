"""Cleaning a dataset: blocks of whole lines, on all cores, written in order."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread

from core.corpus.cleaners import STANDARD, UPSTREAM, cleaner_for
from core.corpus.options import CleanOptions
from core.corpus.report import CleanReport, Dropped, SourceReport
from core.corpus.rules import Drops, clean_block
from core.corpus.sources import SourceFile
from core.errors import CorpusEmpty, CorpusEncoding, CorpusMissing, Stopped

CLEAN_VERSION = sum(cleaner.version for table in (STANDARD, UPSTREAM) for cleaner in table.values())
"""Rises with the version of any cleaner."""
BLOCK_BYTES = 2 << 20
LONGEST_LINE_BYTES = 64 << 20
"""A longer line is no text; it would have to be held in memory whole."""
POOL_FROM_BYTES = 8 << 20
"""Below, starting processes takes longer than they save."""
PREVIEW_BYTES = 64 << 10


@dataclass(frozen=True)
class CleanedBlock:
    """A block after cleaning, with its counts."""

    text: str
    lines_in: int
    words_in: int
    bytes_in: int
    drops: Drops


@dataclass
class _Totals:
    lines_in: int = 0
    lines_out: int = 0
    words_in: int = 0
    words_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    documents: int = 0
    drops: Drops = field(default_factory=Drops)


def clean_corpus(
    files: Sequence[SourceFile],
    *,
    options: CleanOptions,
    output: Path,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
    processes: int | None = None,
) -> CleanReport:
    """Writes `output/<stem>.txt` for each file and `output/report.json`.

    A cleaned file has a line an utterance or paragraph, with single spaces, and an empty line
    between documents. The bytes do not depend on the number of processes.

    Raises:
        CorpusMissing, CorpusEncoding, CorpusEmpty: Naming the file.
        Stopped: If a stop was asked for.
    """
    total = sum(file.bytes for file in files)
    if processes is None:
        processes = len(os.sched_getaffinity(0)) if total >= POOL_FROM_BYTES else 1
    done = 0
    reports: dict[str, SourceReport] = {}
    with _mapper(processes) as run:
        for file in files:
            totals = _Totals()
            jobs = ((block, file.source, options) for block in read_blocks(file.path))
            with (output / f"{file.stem}.txt").open("wb") as target:
                writer = _Writer(target.write)
                for block in run(file.path, jobs):
                    if should_stop():
                        raise Stopped
                    _count(totals, block)
                    writer.write(block.text)
                    done += block.bytes_in
                    progress(min(1.0, done / max(1, total)))
                writer.finish(totals)
            if totals.words_out == 0:
                raise CorpusEmpty(f"{file.path} holds no text after cleaning")
            reports[file.stem] = _report(file.source, totals)
    report = CleanReport(sources=reports)
    (output / "report.json").write_text(report.model_dump_json())
    return report


def clean_bytes(block: bytes, source: str, options: CleanOptions) -> CleanedBlock:
    """Cleans whole lines of UTF-8; runs in a process of the pool."""
    text = block.decode("utf-8")
    drops = Drops()
    cleaned = clean_block(text, cleaner_for(source, options), drops)
    return CleanedBlock(cleaned, text.count("\n"), len(text.split()), len(block), drops)


def read_blocks(path: Path, *, size: int | None = None) -> Iterator[bytes]:
    """A file in blocks of whole lines.

    Raises:
        CorpusMissing: If it cannot be opened.
        CorpusEncoding: If a line is longer than any text has.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise CorpusMissing(f"{path} cannot be read: {error.strerror}") from error
    rest = b""
    with file:
        while data := file.read(size or BLOCK_BYTES):
            end = data.rfind(b"\n") + 1
            if end == 0:
                rest += data
                if len(rest) > LONGEST_LINE_BYTES:
                    raise CorpusEncoding(
                        f"{path} has a line of more than {LONGEST_LINE_BYTES:,} bytes",
                        hint="Break the text into lines.",
                    )
                continue
            yield rest + data[:end]
            rest = data[end:]
    if rest:
        yield rest


def preview(
    file: SourceFile, *, options: CleanOptions, max_lines: int = 20
) -> list[tuple[str, str | None]]:
    """The first lines of a file, raw beside cleaned; None where the line is dropped."""
    with file.path.open("rb") as source:
        head = source.read(PREVIEW_BYTES)
    lines = head.decode("utf-8", errors="replace").split("\n")
    cleaner = cleaner_for(file.source, options)
    return [
        (line.rstrip("\r"), clean_block(line + "\n", cleaner, Drops()).strip("\n") or None)
        for line in islice(lines, max_lines)
    ]


def count_words(path: Path) -> int:
    """White-space words of a file, whatever its encoding."""
    return sum(len(block.decode("utf-8", errors="replace").split()) for block in read_blocks(path))


class _Writer:
    """Puts blocks together: one empty line between documents, none at the start or the end."""

    def __init__(self, write: Callable[[bytes], int]) -> None:
        self._write = write
        self._ended = False
        self.lines = self.words = self.bytes = self.documents = 0

    def write(self, text: str) -> None:
        """Writes a cleaned block."""
        parts: list[str] = []
        for line in text.split("\n")[:-1]:
            if not line:
                self._ended = True
                continue
            if self._ended or not self.documents:
                parts.append("\n" if self.documents else "")
                self.documents += 1
                self._ended = False
            parts.append(line + "\n")
            self.lines += 1
        data = "".join(parts).encode()
        self.words += len(text.split())
        self.bytes += len(data)
        self._write(data)

    def finish(self, totals: _Totals) -> None:
        """Hands over what was counted."""
        totals.lines_out, totals.words_out = self.lines, self.words
        totals.bytes_out, totals.documents = self.bytes, self.documents


Run = Callable[[Path, Iterator[tuple[bytes, str, CleanOptions]]], Iterator[CleanedBlock]]


@contextmanager
def _mapper(processes: int) -> Iterator[Run]:
    """A function that cleans blocks in order, in this process or in several."""
    if processes == 1:

        def alone(
            path: Path, jobs: Iterator[tuple[bytes, str, CleanOptions]]
        ) -> Iterator[CleanedBlock]:
            for job in jobs:
                try:
                    yield clean_bytes(*job)
                except UnicodeDecodeError as error:
                    raise _not_utf8(path) from error

        yield alone
        return
    # Not fork: the caller may hold threads.
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_end_with_parent
    ) as pool:

        def together(
            path: Path, jobs: Iterator[tuple[bytes, str, CleanOptions]]
        ) -> Iterator[CleanedBlock]:
            waiting: deque[Future[CleanedBlock]] = deque()
            try:
                for job in jobs:
                    waiting.append(pool.submit(clean_bytes, *job))
                    if len(waiting) > 2 * processes:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            except UnicodeDecodeError as error:
                raise _not_utf8(path) from error
            finally:
                for future in waiting:
                    future.cancel()

        yield together


def _not_utf8(path: Path) -> CorpusEncoding:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return CorpusEncoding(
                    f"{path} is not UTF-8: line {number}, byte {error.start + 1} "
                    f"is 0x{line[error.start]:02x}"
                )
    return CorpusEncoding(f"{path} is not UTF-8")


def _count(totals: _Totals, block: CleanedBlock) -> None:
    totals.lines_in += block.lines_in
    totals.words_in += block.words_in
    totals.bytes_in += block.bytes_in
    for name, count in block.drops.counts.items():
        totals.drops.add(name, count, block.drops.examples[name])


def _report(source: str, totals: _Totals) -> SourceReport:
    return SourceReport(
        source=source,
        lines_in=totals.lines_in,
        lines_out=totals.lines_out,
        words_in=totals.words_in,
        words_out=totals.words_out,
        bytes_in=totals.bytes_in,
        bytes_out=totals.bytes_out,
        documents=totals.documents,
        dropped={
            name: Dropped(count=count, examples=totals.drops.examples[name])
            for name, count in sorted(totals.drops.counts.items())
        },
    )


def _end_with_parent() -> None:
    """Ends this process when its parent is gone.

    The executor's processes hold both ends of their queue: after a SIGKILL of the parent they would
    wait on it for ever.
    """

    def watch() -> None:
        parent = parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    Thread(target=watch, name="parent-watch", daemon=True).start()
