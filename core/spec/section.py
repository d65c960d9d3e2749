"""What every part of a spec is: frozen, strict, and closed to unknown fields."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the spec."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
