"""What the user can say about cleaning."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class CleanOptions(BaseModel):
    """How raw text becomes training text.

    `data.clean` accepts `true` (these defaults), `false` (style `none`), `"upstream"`, or this.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    style: Literal["standard", "upstream", "none"] = Field(
        default="standard",
        description="standard: a cleaner per source that keeps case and punctuation; upstream: "
        "what the research scripts did; none: only white space is put in order.",
    )
    lowercase: bool = Field(default=False, description="Lower-case all text.")
    punctuation: Literal["keep", "strip"] = Field(
        default="keep", description="strip removes everything that is not a letter, digit or space."
    )
