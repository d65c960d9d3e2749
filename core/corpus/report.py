"""Reports of cleaning."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from core.corpus.document_lengths import DocumentLengths


class Dropped(BaseModel):
    """Number of matches of a rule, with the first matches as examples."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int
    examples: list[str]


class RowsReport(BaseModel):
    """Counts of the rows of a file in which one column contains the text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    read: int
    empty: int
    """Number of rows with a text that is null or white space."""
    malformed: int
    """Number of rows that were skipped."""
    examples: list[str]
    """The first malformed rows, each as its place in the file and the reason."""


class SourceReport(BaseModel):
    """Counts of one file before (`in`) and after (`out`) cleaning."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    lines_in: int
    lines_out: int
    words_in: int
    words_out: int
    bytes_in: int
    bytes_out: int
    documents: int
    dropped: dict[str, Dropped]
    rows: RowsReport | None = None
    """Null for a file without rows."""
    document_lengths: list[int] | None = None
    """Number of cleaned documents by length: entry i counts those with 2**i to 2**(i+1) - 1 words.
    Null if an earlier version cleaned the file."""


class CleanReport(BaseModel):
    """Reports of all files of a dataset, by file name without suffix."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: dict[str, SourceReport]

    @property
    def words_in(self) -> int:
        """Number of white-space words before cleaning."""
        return sum(report.words_in for report in self.sources.values())

    @property
    def words_out(self) -> int:
        """Number of white-space words after cleaning, which are the words for training."""
        return sum(report.words_out for report in self.sources.values())

    @property
    def bytes_out(self) -> int:
        """Number of bytes after cleaning."""
        return sum(report.bytes_out for report in self.sources.values())

    def counts(self) -> dict[str, Any]:  # any JSON value
        """The totals and the counts of each source, without the examples of dropped text."""
        return {
            "words_in": self.words_in,
            "words": self.words_out,
            "documents": sum(report.documents for report in self.sources.values()),
            "bytes": self.bytes_out,
            "sources": {
                stem: {
                    "words_in": report.words_in,
                    "words": report.words_out,
                    "lines": report.lines_out,
                    "dropped": {name: entry.count for name, entry in report.dropped.items()},
                }
                for stem, report in self.sources.items()
            },
        }


def recount(report: CleanReport, folder: Path) -> None:
    """Writes `report` to `folder`, with new counts of the text files in `folder`."""
    sources = {}
    for stem, source in report.sources.items():
        path = folder / f"{stem}.txt"
        lines = words = breaks = document = 0
        lengths = DocumentLengths()
        with path.open("rb") as file:
            for line in file:
                if line == b"\n":
                    breaks += 1
                    if document:
                        lengths.add(document)
                    document = 0
                else:
                    lines += 1
                    document += (count := len(line.split()))
                    words += count
        if document:
            lengths.add(document)
        changes = {
            "lines_out": lines,
            "words_out": words,
            "bytes_out": path.stat().st_size,
            "documents": breaks + 1,
            "document_lengths": lengths.bins,
        }
        sources[stem] = source.model_copy(update=changes)
    (folder / "report.json").write_text(CleanReport(sources=sources).model_dump_json())
