"""Registry of the architectures. Importing the module of an architecture here registers it."""

from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from core.archs.base import Architecture as Architecture
from core.archs.gemma2 import Gemma2 as Gemma2
from core.archs.llama4 import Llama4 as Llama4
from core.archs.olmo2 import Olmo2 as Olmo2

ARCHITECTURES: dict[str, type[Architecture]] = {
    each.model_fields["architecture"].default: each for each in Architecture.__subclasses__()
}
"""The architectures by name, in the order of the imports above."""

DEFAULT_ARCHITECTURE = Llama4
"""The architecture of a spec that names none. The BabyLM-NA2 research scripts have the same
default."""

if TYPE_CHECKING:
    AnyArchitecture = Architecture
else:
    AnyArchitecture = Annotated[
        Union[tuple(ARCHITECTURES.values())],  # noqa: UP007 the members are known at run time only
        Field(discriminator="architecture"),
    ]
    """A tagged union on `architecture`."""
