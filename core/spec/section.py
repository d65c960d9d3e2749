"""Base class of the sections of a spec: frozen, strict, no unknown fields."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of the spec."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
