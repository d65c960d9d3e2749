"""Writes .env.example: `python -m babylm.generate_settings_docs > .env.example`.

A test fails if the file is out of date, or if it lacks a variable of docker-compose.yml.
"""

import sys
import textwrap
from dataclasses import dataclass
from importlib.metadata import version

from pydantic.fields import FieldInfo

from jobs.settings import DATABASE_FILE, Settings

WIDTH = 100
INTRODUCTION = """\
# Copy this file to `.env`. `babylm` reads it in the folder in which you start it, and so does
# docker compose. A commented-out variable shows its default. An empty variable counts as unset.
#
# This file is written by `python -m babylm.generate_settings_docs`.
"""
COMPOSE = "# ---- only for docker compose ----\n"
SERVICE = """\
# ---- the service, with or without compose ----
# In compose, BABYLM_DATA_DIR and BABYLM_RUNS_DIR are always the paths of the volumes, and
# BABYLM_HOST and BABYLM_PORT are the address and port of the host at which the API is published.
"""


@dataclass(frozen=True)
class Variable:
    """A variable in the file: name, comment, value, and whether its line is commented out."""

    name: str
    meaning: str
    value: str
    is_shown_only: bool = True

    def text(self) -> str:
        """The comment, and below it the line that sets the variable."""
        comment = textwrap.fill(
            self.meaning, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
        )
        return f"{comment}\n{'#' if self.is_shown_only else ''}{self.name}={self.value}\n"


FOR_COMPOSE = (
    Variable(
        "COMPOSE_PROFILES",
        "Which train worker is started: gpu, or cpu on a host without an NVIDIA GPU.",
        "gpu",
        is_shown_only=False,
    ),
    Variable(
        "BABYLM_HOST_DATA_DIR",
        "Folder of the host with the corpora; it must belong to BABYLM_UID for uploads to work.",
        "./data",
    ),
    Variable(
        "BABYLM_VERSION",
        "Tag of the images: the version of the service.",
        version("babylm-service"),
    ),
    Variable("BABYLM_UID", "Id of the user that owns the files and runs all processes.", "1000"),
    Variable("BABYLM_GID", "Id of the group of that user.", "1000"),
    Variable(
        "BABYLM_TORCH_INDEX_URL",
        "A package index to search for torch, in addition to PyPI, when the worker's image is "
        "built. On a host without a GPU, https://download.pytorch.org/whl/cpu avoids the "
        "download of the CUDA libraries.",
        "",
    ),
    Variable(
        "BABYLM_WORKER_MEMORY",
        "Maximum memory of the train worker and its training processes, such as 24g; 0: no limit.",
        "0",
    ),
    Variable("BABYLM_SHORT_MEMORY", "Maximum memory of the worker that generates text.", "4g"),
    Variable("BABYLM_API_MEMORY", "Maximum memory of the API.", "1g"),
    Variable("BABYLM_REDIS_MEMORY", "Maximum memory of Redis, which holds 64 MB at most.", "256m"),
)
DEFAULTS_IN_WORDS = {"database_url": f"sqlite:///runs/{DATABASE_FILE}"}
"""Defaults that depend on other settings, computed from the defaults of those settings."""
COMPOSE_NOTES = {
    "api_key": "Compose needs a key, because the API listens on all addresses of its container.",
    "database_url": "In compose the default is sqlite:////runs/babylm.sqlite3.",
    "redis_url": "If it is not set, compose runs a Redis of its own.",
    "shutdown_grace_seconds": "Compose sets 50, which is below its stop_grace_period of 60 s.",
}
WRITTEN_OUT = ("api_key",)
"""Settings whose lines are not commented out, so that the user only adds the value."""


def service_variables() -> list[Variable]:
    """One variable for each field of `Settings`."""
    prefix = Settings.model_config.get("env_prefix", "")
    return [
        Variable(
            f"{prefix}{name}".upper(),
            " ".join([field.description or "", *filter(None, [COMPOSE_NOTES.get(name)])]),
            _default(name, field),
            is_shown_only=name not in WRITTEN_OUT,
        )
        for name, field in Settings.model_fields.items()
    ]


def page() -> str:
    """The whole file."""
    parts = [
        INTRODUCTION,
        COMPOSE,
        *(variable.text() for variable in FOR_COMPOSE),
        SERVICE,
        *(variable.text() for variable in service_variables()),
    ]
    return "\n".join(parts)


def _default(name: str, field: FieldInfo) -> str:
    if name in DEFAULTS_IN_WORDS:
        return DEFAULTS_IN_WORDS[name]
    return "" if field.default is None else str(field.default)


if __name__ == "__main__":
    sys.stdout.write(page())
