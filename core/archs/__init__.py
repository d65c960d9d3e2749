"""Registry of the architectures: each has a file here and a place in the union below."""

from typing import Annotated

from pydantic import Field

from core.archs.base import Architecture
from core.archs.gemma2 import Gemma2
from core.archs.llama4 import Llama4
from core.archs.olmo2 import Olmo2

DEFAULT_ARCHITECTURE = Llama4
"""Used by a spec that names none, as in the research scripts."""

AnyArchitecture = Annotated[Gemma2 | Llama4 | Olmo2, Field(discriminator="architecture")]
"""A tagged union on `architecture`."""

ARCHITECTURES: dict[str, type[Architecture]] = {
    "gemma2": Gemma2,
    "llama4": Llama4,
    "olmo2": Olmo2,
}

__all__ = [
    "ARCHITECTURES",
    "DEFAULT_ARCHITECTURE",
    "AnyArchitecture",
    "Architecture",
    "Gemma2",
    "Llama4",
    "Olmo2",
]
