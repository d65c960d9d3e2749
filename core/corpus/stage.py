"""Cleans a dataset in blocks of whole lines, on all cores, and writes the blocks in order."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from core.corpus.blocks import BlockCleaner, CleanedBlock, split_blocks
from core.corpus.cleaners import STANDARD, UPSTREAM, cleaner_for
from core.corpus.document_lengths import DocumentLengths
from core.corpus.formats.extract import EXTRACT_VERSION, PlainText, plain_texts
from core.corpus.formats.head import text_head
from core.corpus.report import CleanReport, Dropped, SourceReport
from core.corpus.rules import Drops, clean_block
from core.corpus.sources import SourceFile
from core.errors import CorpusChanged, CorpusEmpty, RunError, Stopped
from core.process.pool import serve_in_order
from core.spec.corpus import CleanOptions
from core.storage.cache import Cache, fingerprint

CLEAN_VERSION = sum(cleaner.version for table in (STANDARD, UPSTREAM) for cleaner in table.values())
"""Increases with the version of any cleaner."""
FORMER_CLEAN_VERSION = 27
"""`CLEAN_VERSION` of the releases that kept no record of a run's inputs. A run that such a release
began still finds its cleaned text in the cache under this version."""
MAX_PROCESSES = 12
"""Maximum number of processes. Each takes 30 to 60 MB. More than 12 processes would take about 1 GB
together, and would only wait for the one process that writes the results."""
BYTES_PER_PROCESS = 4 << 20
"""Minimum bytes of text for each process, because starting a process takes 0.2 s of CPU time."""
PREVIEW_BYTES = 64 << 10
SHOWN_FILES = 10
EXTRACT_SHARE = 0.3
"""Progress, from 0 to 1, when all compressed files and files of rows are extracted. Without such
files, cleaning begins with a progress of 0."""
COUNTED_AT_ONCE = 1 << 20


def clean_fingerprint(
    files: Sequence[SourceFile],
    options: CleanOptions,
    cache: Cache,
    *,
    version: int = CLEAN_VERSION,
) -> str:
    """Cache key of the cleaned text of these files."""
    return fingerprint(
        "clean",
        version=version,
        parameters=options.model_dump(mode="json"),
        inputs=[_input(file, cache.hashes.of(file.path)) for file in files],
    )


def _input(file: SourceFile, content: str) -> str:
    """A string with everything that determines the cleaned text of a file, except the options.

    For plain files the result equals that of earlier releases, so that their cache entries stay
    valid.
    """
    known = f"{file.source}:{file.stem}:{content}"
    if file.format.is_plain:
        return known
    return f"{known}:{file.format}:{file.rows if file.format.has_rows else ''}:{EXTRACT_VERSION}"


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

    A cleaned file has one line for each utterance or paragraph, with single spaces between words,
    and one empty line between documents. The bytes do not depend on the number of processes.

    Raises:
        CorpusMissing, CorpusEncoding, CorpusEmpty: If cleaning a file fails; the message names
            the file.
        Stopped: After a stop request.
    """
    share = 0.0 if all(file.format.is_plain for file in files) else EXTRACT_SHARE

    def extracted(part: float) -> None:
        progress(share * part)

    with plain_texts(files, output, progress=extracted, should_stop=should_stop) as texts:
        return _clean_texts(
            texts,
            options=options,
            output=output,
            progress=lambda part: progress(share + (1.0 - share) * part),
            should_stop=should_stop,
            processes=processes,
        )


def _clean_texts(
    texts: Sequence[PlainText],
    *,
    options: CleanOptions,
    output: Path,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
    processes: int | None,
) -> CleanReport:
    total = sum(text.bytes for text in texts)
    files = [text.file for text in texts]
    if processes is None:
        cores = len(os.sched_getaffinity(0))
        processes = max(1, min(cores, MAX_PROCESSES, total // BYTES_PER_PROCESS))
    cleaners = {file.source: cleaner_for(file.source, options) for file in files}
    blocks = [
        list(split_blocks(text.path, text.file.source, cleaners[text.file.source]))
        for text in texts
    ]
    results = serve_in_order(
        [block for part in blocks for block in part],
        make=BlockCleaner,
        argument=cleaners,
        count=processes,
        should_stop=should_stop,
    )
    done = 0
    reports: dict[str, SourceReport] = {}
    for text, file, part in zip(texts, files, blocks, strict=True):
        with (output / f"{file.stem}.txt").open("wb") as target:
            writer = CleanWriter(target.write)
            for block, cleaned in zip(part, results, strict=False):
                if should_stop():
                    raise Stopped
                writer.add(cleaned)
                done += block.end - block.begin
                progress(min(1.0, done / total))
            writer.finish()
        if writer.words_out == 0:
            raise CorpusEmpty(f"{file.path} contains no text after cleaning")
        reports[file.stem] = writer.report(text)
    report = CleanReport(sources=reports)
    (output / "report.json").write_text(report.model_dump_json())
    return report


def require_unchanged(
    files: Sequence[SourceFile], options: CleanOptions, cache: Cache, key: str
) -> None:
    """Rejects the result if files were edited while they were cleaned.

    Without this check, the result could be cached under the fingerprint of other text.

    Raises:
        CorpusChanged: If the fingerprint is no longer `key`.
    """
    try:
        is_unchanged = clean_fingerprint(files, options, cache) == key
    except FileNotFoundError:
        is_unchanged = False
    if not is_unchanged:
        names = ", ".join(file.name for file in files[:SHOWN_FILES])
        raise CorpusChanged(
            f"one of {len(files)} files ({names}) was edited while it was being cleaned",
            hint="Try again when the files are no longer being written.",
        )


def preview(
    file: SourceFile, *, options: CleanOptions, max_lines: int = 20
) -> list[tuple[str, str | None]]:
    """The first lines of a file as pairs: the raw line, and the cleaned line or None if dropped.

    The list is empty if the file cannot be read, or if only pyarrow can read it (`.parquet`,
    `.arrow`).
    """
    try:
        head = text_head(file, PREVIEW_BYTES)
    except RunError:  # the report of the dataset says why
        return []
    lines = (
        head.content.decode("utf-8", errors="replace").split("\n") if head and head.content else []
    )
    cleaner = cleaner_for(file.source, options)
    return [
        (line.rstrip("\r"), clean_block(line + "\n", cleaner, Drops()).strip("\n") or None)
        for line in islice(lines, max_lines)
    ]


def count_words(path: Path) -> int:
    """Number of white-space words of a file in any encoding."""
    words = 0
    with path.open("rb") as file:
        while lines := file.readlines(COUNTED_AT_ONCE):
            words += len(b"".join(lines).decode("utf-8", errors="replace").split())
    return words


@dataclass
class CleanWriter:
    """Joins blocks, with one empty line between documents and none at the start or the end."""

    write: Callable[[bytes], int]
    lines_in: int = 0
    lines_out: int = 0
    words_in: int = 0
    words_out: int = 0
    bytes_out: int = 0
    documents: int = 0
    drops: Drops = field(default_factory=Drops)
    lengths: DocumentLengths = field(default_factory=DocumentLengths)
    _open_words: int = 0
    """Number of words so far in the document that the next block may continue."""
    _ended: bool = False

    def add(self, block: CleanedBlock) -> None:
        """Writes a cleaned block."""
        self.lines_in += block.lines_in
        self.lines_out += block.lines_out
        self.words_in += block.words_in
        self.words_out += block.words_out
        for name, count in block.drops.counts.items():
            self.drops.add(name, count, block.drops.examples[name])
        self._ended |= block.begins_document
        if not block.content:
            return
        if not self.documents:
            self.documents = 1
        elif self._ended:
            self._put(b"\n\n")
            self.documents += 1
            self._end_document()
        else:
            self._put(b"\n")
        self._put(block.content)
        self.documents += block.documents_within
        self._count_lengths(block)
        self._ended = block.ends_document

    def finish(self) -> None:
        """Ends the last line and the last document."""
        if self.documents:
            self._put(b"\n")
            self._end_document()

    def report(self, text: PlainText) -> SourceReport:
        """The counts so far."""
        return SourceReport(
            source=text.file.source,
            lines_in=self.lines_in,
            lines_out=self.lines_out,
            words_in=self.words_in,
            words_out=self.words_out,
            bytes_in=text.bytes,
            bytes_out=self.bytes_out,
            documents=self.documents,
            dropped={
                name: Dropped(count=count, examples=self.drops.examples[name])
                for name, count in sorted(self.drops.counts.items())
            },
            rows=text.rows,
            document_lengths=self.lengths.bins,
        )

    def _count_lengths(self, block: CleanedBlock) -> None:
        self._open_words += block.lengths.first
        if block.documents_within:
            self._end_document()
            self.lengths.merge(block.lengths.bins)
            self._open_words = block.lengths.last

    def _end_document(self) -> None:
        self.lengths.add(self._open_words)
        self._open_words = 0

    def _put(self, content: bytes) -> None:
        self.write(content)
        self.bytes_out += len(content)
