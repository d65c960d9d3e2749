"""Bodies of the playground: streamed text, and surprisal by token."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.schemas import ErrorRead, Out

MAX_TEXTS = 8
MAX_CHARACTERS = 2000
MAX_ALTERNATIVES = 20


class WrittenRead(Out):
    """The prompt and its continuation so far; `done` marks the last event, `error` a failure."""

    text: str
    done: bool
    checkpoint: str
    error: ErrorRead | None = None


class SurprisalBody(BaseModel):
    """Texts to score, such as the two sentences of a minimal pair."""

    model_config = ConfigDict(extra="forbid", strict=True)

    texts: list[Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]] = Field(
        min_length=1, max_length=MAX_TEXTS
    )
    alternatives: int = Field(
        default=5,
        ge=0,
        le=MAX_ALTERNATIVES,
        description="How many of the most probable tokens to list at each position.",
    )


class AlternativeRead(Out):
    """A token that the model considers probable at a position."""

    text: str
    probability: float


class ScoredTokenRead(Out):
    """A token and its surprisal in bits; null for the first token, which has no context."""

    text: str
    surprisal: float | None
    alternatives: list[AlternativeRead]


class ScoredTextRead(Out):
    """A text; `surprisal` is the sum over its scored tokens, in bits."""

    surprisal: float
    tokens: list[ScoredTokenRead]


class SurprisalRead(Out):
    """The scored texts, in the order of the request."""

    checkpoint: str
    texts: list[ScoredTextRead]
