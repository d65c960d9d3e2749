"""Reading times of eye tracking and self-paced reading (De Varda et al., 2023).

A row of `reading_data.csv` is a word in its context. As in the official pipeline, a baseline
regression predicts the reading times without the word's own surprisal. A score is the share of the
residual variance of this regression that the word's surprisal explains. This module does not
import numpy.
"""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from core.evaluation.items import Metric

COLUMNS = ("item", "word", "prev_item", "prev_word")
EYE_TRACKING = ("RTfirstfix", "RTfirstpass", "RTgopast", "RTrightbound")
SELF_PACED = "self_paced_reading_time"
PREDICTORS = ("Subtlex_log10", "length", "context_length", "prev_length")
NUMBERS = (*EYE_TRACKING, SELF_PACED, *PREDICTORS)
MISSING = frozenset(
    "|#N/A|#N/A N/A|#NA|-1.#IND|-1.#QNAN|-NaN|-nan|1.#IND|1.#QNAN|<NA>|N/A|NA|NULL|NaN|None|n/a|nan"
    "|null".split("|")
)
"""Contents of cells that count as missing, as in pandas, which the official pipeline uses."""


@dataclass(frozen=True, slots=True)
class ReadingRow:
    """A word and the previous word, each with its context, and the measurements."""

    context: str
    word: str
    previous_context: str | None
    previous_word: str
    numbers: dict[str, float]


class Reading:
    """The reading-time task. Its score is the mean of the eye-tracking and self-paced scores."""

    name = "reading"
    metric: Metric = "r2_gain"
    chance = 0.0
    expected = "a table of comma-separated values with the columns " + ", ".join(COLUMNS + NUMBERS)

    def missing_columns(self, path: Path) -> list[str]:
        """The columns that a file lacks."""
        with path.open(newline="", encoding="utf-8") as file:
            header = next(csv.reader(file), [])
        return [column for column in COLUMNS + NUMBERS if column not in header]

    def read(self, path: Path, *, limit: int | None = None) -> list[ReadingRow]:
        """The rows of a file.

        Args:
            path: The file.
            limit: Maximum number of rows to read; None reads all.

        Raises:
            ValueError: If a cell is invalid; the message names the line.
        """
        rows: list[ReadingRow] = []
        with path.open(newline="", encoding="utf-8") as file:
            for cells in csv.DictReader(file):
                if limit is not None and len(rows) >= limit:
                    break
                try:
                    rows.append(_row(cells))
                except (TypeError, ValueError) as error:
                    raise ValueError(f"line {len(rows) + 2}: {error}") from error
        return rows


def _row(cells: dict[str, str]) -> ReadingRow:
    if cells["word"] is None or cells["word"] in MISSING:
        raise ValueError(f"word is {cells['word']!r}, which is read as missing")
    has_previous = cells["prev_item"] not in MISSING
    return ReadingRow(
        context="None" if cells["item"] in MISSING else cells["item"],
        word=cells["word"],
        previous_context=cells["prev_item"] if has_previous else None,
        previous_word=cells["prev_word"],
        numbers={name: _number(cells[name]) for name in NUMBERS},
    )


def _number(cell: str) -> float:
    return math.nan if cell in MISSING else float(cell)
