"""Checks whether the packages of an extra, such as `train`, are installed."""

from collections.abc import Sequence
from importlib.util import find_spec

from babylm.errors import CommandError

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy")
"""The packages of the extra `train` that training requires."""


def require_training() -> None:
    """Checks that the packages for training are installed; commands that train call it first.

    Raises:
        CommandError: If a package is missing; the message says how to install it.
    """
    hint = (
        "First install the build of torch that you want, then run pip install "
        "'babylm-service[train,embedded]'. Without these packages, `babylm api` runs the API alone."
    )
    require_packages(PACKAGES, "train", hint=hint)


def require_hub() -> None:
    """Checks that huggingface_hub is installed; commands that use the Hub call it first.

    Raises:
        CommandError: If the package is missing; the message says how to install it.
    """
    hint = "pip install 'babylm-service[hub]'"
    require_packages(("huggingface_hub",), "use the Hugging Face Hub", hint=hint)


def require_packages(packages: Sequence[str], action: str, *, hint: str) -> None:
    """Checks that packages are installed.

    Args:
        packages: Names of the modules to import.
        action: What the packages are for, such as `train`.
        hint: How to install them.

    Raises:
        CommandError: If a package is missing.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        message = f"this installation cannot {action}: {', '.join(missing)} is not installed"
        raise CommandError(message, hint=hint)
