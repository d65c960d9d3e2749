"""Reports of cleaning."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict


class Dropped(BaseModel):
    """Matches of a rule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int
    examples: list[str]


class RowsReport(BaseModel):
    """Counts of the rows of a file in which one column contains the text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    read: int
    empty: int
    """Rows whose text is null or white space."""
    malformed: int
    """Rows that were skipped."""
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
        """The totals, and the dropped counts of each source without examples."""
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
    """Writes `report` to `folder`, with new counts for the text that is left there."""
    sources = {}
    for stem, source in report.sources.items():
        path = folder / f"{stem}.txt"
        lines = words = breaks = 0
        with path.open("rb") as file:
            for line in file:
                lines += line != b"\n"
                breaks += line == b"\n"
                words += len(line.split())
        changes = {
            "lines_out": lines,
            "words_out": words,
            "bytes_out": path.stat().st_size,
            "documents": breaks + 1,
        }
        sources[stem] = source.model_copy(update=changes)
    (folder / "report.json").write_text(CleanReport(sources=sources).model_dump_json())
