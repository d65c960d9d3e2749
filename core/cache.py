"""Results of stages, kept by fingerprint and shared between runs.

A fingerprint covers all that decides the result: the stage's version, its parameters, and the
contents of its input files. The result of a stage is a folder `<stage>/<fingerprint>/`.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.rundir import publish_folder


@dataclass(frozen=True)
class CacheEntry:
    """A finished result, and whether it was there already."""

    path: Path
    cached: bool


@dataclass(frozen=True)
class Cache:
    """The shared folder of stage results."""

    root: Path

    def get(self, stage: str, fingerprint: str, build: Callable[[Path], None]) -> CacheEntry:
        """The result of that fingerprint; `build` is called with an empty folder if there is none.

        Two builders at once do no harm: the second finds the place taken and drops its own.
        """
        final = self.root / stage / fingerprint
        if final.is_dir():
            return CacheEntry(final, cached=True)
        final.parent.mkdir(parents=True, exist_ok=True)
        built = publish_folder(final, build)
        return CacheEntry(final, cached=not built)

    def remove(self, entry: CacheEntry) -> None:
        """Drops a result, so that it is built again."""
        shutil.rmtree(entry.path, ignore_errors=True)


def fingerprint(stage: str, *, version: int, parameters: Any, inputs: Iterable[str]) -> str:
    """A name for the result of a stage.

    Args:
        stage: Its name.
        version: Raised whenever the same input would give another result.
        parameters: JSON.
        inputs: Fingerprints or content hashes of what it reads, in order.
    """
    text = json.dumps([stage, version, parameters, list(inputs)], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
