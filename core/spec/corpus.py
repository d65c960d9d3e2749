"""Cleaning options."""

from typing import Literal

from pydantic import Field

from core.spec.section import Section


class CleanOptions(Section):
    """The options for turning raw text into training text.

    `data.clean` accepts `true` (the defaults of the fields), `false` (style `none`), `"upstream"`
    (style `upstream`), or an object with these fields.
    """

    style: Literal["standard", "upstream", "none"] = Field(
        default="standard",
        description="standard: each source has a cleaner, which keeps case and punctuation; "
        "upstream: the cleaning of the BabyLM-NA2 research scripts; none: only white space is "
        "normalized.",
    )
    lowercase: bool = Field(default=False, description="Lower-case all text.")
    punctuation: Literal["keep", "strip"] = Field(
        default="keep", description="strip removes everything that is not a letter, digit or space."
    )
