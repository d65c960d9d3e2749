"""Cached SHA-256 hashes of files. With them, a second job need not read the corpus again.

A file counts as unchanged while its size, inode, device, mtime and ctime are the same. The hash of
a file that changed less than two seconds ago is not cached, because the file could change again
with the same time stamps.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SETTLED_SECONDS = 2.0
"""Minimum seconds between the last change of a file and the caching of its hash. This is longer
than the resolution of time stamps on common file systems."""


@dataclass(frozen=True)
class FileHashes:
    """The cached hashes: a folder with one small file per path, replaced atomically."""

    folder: Path
    clock: Callable[[], float] = time.time

    def of(self, path: Path) -> str:
        """SHA-256 of the content of a file, hexadecimal."""
        path = path.resolve()
        state = _state(path)
        entry = self.folder / hashlib.sha256(bytes(path)).hexdigest()[:32]
        known = _read(entry)
        if known is not None and known[:-1] == state:
            return str(known[-1])
        content = hash_file(path)
        if _state(path) == state and self.clock() - max(state[1:3]) / 1e9 > SETTLED_SECONDS:
            self._write(entry, [*state, content])
        return content

    def _write(self, entry: Path, values: list[Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # Not synced: an incomplete entry after a power failure is invalid JSON and is ignored.
        staging = entry.with_name(f"{entry.name}.{os.getpid()}.tmp")
        staging.write_text(json.dumps(values))
        staging.replace(entry)


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _state(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev]


def _read(entry: Path) -> list[Any] | None:  # numbers, then the hash
    with suppress(OSError, ValueError):
        values = json.loads(entry.read_text())
        if isinstance(values, list) and len(values) == 6:
            return values
    return None
