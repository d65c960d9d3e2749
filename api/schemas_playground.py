"""Request and response bodies of the playground: streamed text, surprisal of each token."""

from pydantic import ConfigDict

from api.schemas import ErrorRead, Out
from core.spec.text_requests import SurprisalOptions


class WrittenRead(Out):
    """The prompt and its continuation so far; `done` is true in the last event.

    `error` is the reason if the generation failed, else null.
    """

    text: str
    done: bool
    checkpoint: str
    error: ErrorRead | None = None


class SurprisalBody(SurprisalOptions):
    """Texts to score, such as the two sentences of a minimal pair."""

    model_config = ConfigDict(strict=True)


class AlternativeRead(Out):
    """A token that the model considers probable at a position."""

    text: str
    probability: float


class ScoredTokenRead(Out):
    """A token; `surprisal` is in bits, or null for the first token, which has no context."""

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
