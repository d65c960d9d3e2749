"""The cleaned text of a split, as later stages read it."""

from dataclasses import dataclass
from pathlib import Path

from core.corpus.report import CleanReport


@dataclass(frozen=True)
class Split:
    """The cleaned text of the training or of the validation data."""

    folder: Path
    fingerprint: str
    report: CleanReport

    @property
    def files(self) -> list[Path]:
        """The cleaned files, in order."""
        return sorted(self.folder.glob("*.txt"))
