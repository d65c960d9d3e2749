"""Options of requests to a checkpoint or a tokenizer.

The limits of the fields bound the time that a request occupies the short worker, which answers all
of these requests. The API and the process of the short worker extend these classes.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MAX_PROMPT_CHARACTERS = 20_000
MAX_TEXTS = 8
MAX_TEXT_CHARACTERS = 2000
MAX_ALTERNATIVES = 20


class GenerateOptions(BaseModel):
    """A prompt and how to continue it."""

    model_config = ConfigDict(extra="forbid")

    prompt: str = Field(default="", max_length=MAX_PROMPT_CHARACTERS)
    max_new_tokens: int = Field(default=100, ge=1, le=4096)
    temperature: float = Field(default=0.8, ge=0.0, le=10.0)
    top_k: int | None = Field(default=50, ge=1, le=1_000_000)
    seed: int = Field(default=0, ge=0, le=2**31 - 1)


class SurprisalOptions(BaseModel):
    """Texts to score, token by token."""

    model_config = ConfigDict(extra="forbid")

    texts: list[Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)]] = Field(
        min_length=1, max_length=MAX_TEXTS
    )
    alternatives: int = Field(
        default=5,
        ge=0,
        le=MAX_ALTERNATIVES,
        description="Number of most probable tokens that are listed at each position.",
    )


class EncodeOptions(BaseModel):
    """A text to split into tokens."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(max_length=MAX_PROMPT_CHARACTERS)
