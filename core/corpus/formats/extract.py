"""Writes the plain text of any file of a dataset to a file that cleaning can memory-map."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedWriter
from pathlib import Path
from typing import TypeGuard

from core.corpus.formats.compression import READ_BYTES, Budget, open_stream
from core.corpus.formats.rows import TEXT_READERS, BadRow, Row
from core.corpus.formats.tables import TABLE_READERS
from core.corpus.report import RowsReport
from core.corpus.sources import SourceFile
from core.errors import CorpusDamaged, CorpusMissing, RunError, Stopped

EXTRACT_VERSION = 1
"""Increase it if a change of the code gives another text for the same file."""
EXAMPLES = 5
MAX_BAD_SHARE = 0.01
"""Maximum share of malformed rows. A file with a larger share probably has another format and is
refused."""
ROWS_PER_CHECK = 10_000
"""Number of rows between two checks for a stop request."""


@dataclass(frozen=True)
class PlainText:
    """A file of a dataset and its plain text."""

    file: SourceFile
    path: Path
    """The file itself, or the extracted text."""
    rows: RowsReport | None

    @property
    def bytes(self) -> int:
        """Size of the text."""
        return self.path.stat().st_size


@contextmanager
def plain_texts(
    files: Sequence[SourceFile],
    folder: Path,
    *,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Iterator[list[PlainText]]:
    """The texts of files, for a `with` block.

    Files that are not plain are extracted into a temporary folder within `folder`. Errors that are
    raised in the block name the original file instead of the extracted text.

    Raises:
        RunError: If a file cannot be read.
        Stopped: After a stop request.
    """
    total = sum(file.bytes for file in files if not file.format.is_plain)
    with tempfile.TemporaryDirectory(prefix=".plain-", dir=folder) as extracted:
        texts, done = [], 0
        for number, file in enumerate(files):
            if file.format.is_plain:
                texts.append(PlainText(file, file.path, None))
                continue
            target = Path(extracted, f"{number}.txt")
            try:
                with target.open("wb") as output:
                    rows = extract(file, output, should_stop=should_stop)
            except FileNotFoundError as error:
                raise CorpusMissing(f"{file.path} cannot be read: {error.strerror}") from error
            texts.append(PlainText(file, target, rows))
            done += file.bytes
            progress(done / max(1, total))
        try:
            yield texts
        except RunError as error:
            for text in texts:
                error.replace(str(text.path), str(text.file.path))
            raise


def extract(
    file: SourceFile, output: BufferedWriter, *, should_stop: Callable[[], bool]
) -> RowsReport | None:
    """Writes the plain text of a file; returns the counts of its rows, None if it has no rows.

    Raises:
        RunError: If the file cannot be read, or too many rows are malformed.
        Stopped: After a stop request.
    """
    if not file.format.has_rows:
        _decompress(file, output, should_stop)
        return None
    writer = _RowWriter(file, output)
    with opened_rows(file, Path(output.name).parent) as rows:
        for number, row in enumerate(rows):
            if number % ROWS_PER_CHECK == 0 and should_stop():
                raise Stopped
            writer.add(row)
    return writer.counts.report()


@contextmanager
def opened_rows(file: SourceFile, folder: Path) -> Iterator[Iterator[Row]]:
    """The rows of a file, for a `with` block.

    A compressed file is first decompressed into `folder` if its reader must seek.
    """
    path, column, form = file.path, file.rows.column, file.format
    with open_stream(path, form.compression) as stream:
        if form.suffix in TEXT_READERS:
            yield TEXT_READERS[form.suffix](stream, path, column)
        elif not form.compression:
            yield TABLE_READERS[form.suffix](path, path, column)
        else:
            with tempfile.NamedTemporaryFile(dir=folder) as whole:
                while block := stream.read(READ_BYTES):
                    whole.write(block)
                whole.flush()
                yield TABLE_READERS[form.suffix](Path(whole.name), path, column)


def _decompress(file: SourceFile, output: BufferedWriter, should_stop: Callable[[], bool]) -> None:
    with open_stream(file.path, file.format.compression) as stream:
        while block := stream.read(READ_BYTES):
            if should_stop():
                raise Stopped
            output.write(block)


@dataclass
class RowCounts:
    """Counts the rows of a file, and keeps the first malformed rows as examples."""

    path: Path
    read: int = 0
    empty: int = 0
    malformed: int = 0
    examples: list[str] = field(default_factory=list)

    def accepts(self, row: Row) -> TypeGuard[str]:
        """Counts a row; False if it is malformed."""
        self.read += 1
        if isinstance(row, BadRow):
            self.reject(row)
            return False
        return True

    def reject(self, row: BadRow) -> None:
        """Counts a row as malformed; `accepts` has already counted it as read."""
        self.malformed += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"{row.where} {row.reason}")

    def report(self) -> RowsReport:
        """The counts.

        Raises:
            CorpusDamaged: If too many rows are malformed.
        """
        if self.malformed > self.read * MAX_BAD_SHARE:
            raise CorpusDamaged(
                f"{self.path} has {self.malformed:,} malformed rows of {self.read:,}; the first: "
                f"{self.examples[0]}",
                hint="Correct the file. Malformed rows are skipped only if they are at most "
                f"{MAX_BAD_SHARE:.0%} of the rows.",
            )
        return RowsReport(
            read=self.read, empty=self.empty, malformed=self.malformed, examples=self.examples
        )


class _RowWriter:
    """Writes rows as documents or lines, and counts them."""

    def __init__(self, file: SourceFile, output: BufferedWriter) -> None:
        self.counts = RowCounts(file.path)
        self._output = output
        self._is_line = file.rows.mode == "lines"
        # No limit on the ratio: Parquet stores a repeated value once, so its ratio may be high.
        self._budget = Budget(file.path, ratio=None)

    def add(self, row: Row) -> None:
        """Writes a row."""
        if not self.counts.accepts(row):
            return
        text = row.strip("\n")
        try:
            content = text.encode()
        except UnicodeEncodeError:
            self.counts.reject(BadRow(f"row {self.counts.read:,}", "has half of a surrogate pair"))
            return
        self.counts.empty += not content.strip()
        if content.strip() or self._is_line:
            self._budget.take(len(content) + 2)
            self._output.write(content + (b"\n" if self._is_line else b"\n\n"))
