"""Test items, and the interface that each kind of task implements. Imports no torch or numpy."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

Json = dict[str, Any]
"""A JSON object with values of any type."""
Metric = Literal["accuracy", "spearman", "r2_gain", "log_probability"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of the texts of an item, from which the model chooses."""

    text: str
    completion_length: int
    """Number of characters at the end of `text`. Only the tokens of these characters are scored."""
    prediction: str
    """Text in `predictions.json` if this candidate is chosen."""


@dataclass(frozen=True, slots=True)
class Item:
    """A test item. The first candidate is the correct one, unless the item has a `human_ratio`."""

    subset: str
    """The paradigm, domain or condition (`UID` in the official pipeline)."""
    candidates: tuple[Candidate, ...]
    groups: tuple[tuple[str, str], ...] = ()
    """Names and values of attributes by which scores are grouped, such as the linguistic term."""
    human_ratio: float | None = None
    """Share of people who chose the first candidate."""


class ItemKind(Protocol):
    """A kind of task with files that contain one JSON item per line."""

    @property
    def name(self) -> str:
        """Name of the kind."""
        ...

    @property
    def metric(self) -> Metric:
        """Metric of the score."""
        ...

    @property
    def chance(self) -> float:
        """Expected score of random guessing."""
        ...

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields by which a line is recognised as this kind."""
        ...

    @property
    def expected(self) -> str:
        """Description of a valid line, for error messages."""
        ...

    def parse(self, entry: Json, stem: str) -> Item:
        """The item of a line.

        Args:
            entry: The line.
            stem: Name of its file without the suffix.

        Raises:
            TypeError: If a field does not have its expected type.
            ValueError: If a field has an invalid value.
        """
        ...


def text_field(entry: Json, name: str) -> str:
    """The string in a field.

    Raises:
        TypeError: If the value is not a string.
    """
    value = entry[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string")
    return value


def whole(text: str) -> Candidate:
    """A candidate with a text that is scored as a whole."""
    return Candidate(text, len(text), text)
