"""What only a machine that trains has: the base installation is API and command line alone."""

from importlib.util import find_spec

from babylm.errors import CommandError

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy")
"""The extra `train` of pyproject.toml, as far as training cannot do without."""


def require_training() -> None:
    """Refuses a command that trains where the packages for it are not installed.

    Raises:
        CommandError: Naming them, and how to install them.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise CommandError(
            f"this installation cannot train: {', '.join(missing)} is not installed",
            hint="pip install 'babylm-service[train,embedded]', torch first where you want a "
            "certain build of it. The API alone: babylm api.",
        )
