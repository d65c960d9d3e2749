"""Test items, and what a task kind must provide. No torch, no numpy."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

Json = dict[str, Any]
"""Any: JSON."""
Metric = Literal["accuracy", "spearman", "r2_gain"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that competes with the others of its item."""

    text: str
    completion_length: int
    """Characters at the end of `text` whose tokens are scored."""
    prediction: str
    """What `predictions.json` contains if this candidate is chosen."""


@dataclass(frozen=True, slots=True)
class Item:
    """A test item; the first candidate is the right one."""

    subset: str
    """The paradigm, domain or condition (`UID` in the official pipeline)."""
    candidates: tuple[Candidate, ...]
    groups: tuple[tuple[str, str], ...] = ()
    """Further attributes that scores are reported by, such as the linguistic term."""
    human_ratio: float | None = None
    """Share of human answers that gave the first candidate."""


class ItemKind(Protocol):
    """A task whose files have one item a line, as JSON."""

    @property
    def name(self) -> str:
        """Of the kind."""
        ...

    @property
    def metric(self) -> Metric:
        """How it is scored."""
        ...

    @property
    def chance(self) -> float:
        """Score of a model that knows nothing."""
        ...

    @property
    def fields(self) -> tuple[str, ...]:
        """A line with all of these fields is of this kind."""
        ...

    @property
    def expected(self) -> str:
        """What a line must be, for error messages."""
        ...

    def parse(self, entry: Json, stem: str) -> Item:
        """The item of a line.

        Args:
            entry: The line.
            stem: Name of its file without the suffix.

        Raises:
            TypeError: If a field has another type.
            ValueError: If a field has an impossible value.
        """
        ...


def text_field(entry: Json, name: str) -> str:
    """A field that must be a string.

    Raises:
        TypeError: If it is not.
    """
    value = entry[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string")
    return value


def whole(text: str) -> Candidate:
    """A candidate whose text is scored as a whole."""
    return Candidate(text, len(text), text)
