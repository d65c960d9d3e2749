"""The packages that training needs; the base installation has the API and the command line."""

from importlib.util import find_spec

from babylm.errors import CommandError

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy")
"""The packages of the extra `train` that training requires."""


def require_training() -> None:
    """Checks that the packages for training are installed; commands that train call it first.

    Raises:
        CommandError: If a package is missing; the message says how to install it.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise CommandError(
            f"this installation cannot train: {', '.join(missing)} is not installed",
            hint="pip install 'babylm-service[train,embedded]', after the build of "
            "torch that you want. `babylm api` runs the API alone.",
        )
