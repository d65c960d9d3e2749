"""SHA-256 of files, remembered while a file is what it was: a second job need not read the corpus.

A file is taken to be unchanged while its size, inode, and times of change are. A file that changed
less than two seconds ago is hashed anew: it could change again without its times showing it.
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
"""More than the coarsest time stamp of a usual file system."""


@dataclass(frozen=True)
class FileHashes:
    """What is remembered, in a folder: a small file for each path, replaced as a whole."""

    folder: Path
    clock: Callable[[], float] = time.time

    def of(self, path: Path) -> str:
        """SHA-256 of the content, hexadecimal."""
        path = path.resolve()
        state = _state(path)
        memory = self.folder / hashlib.sha256(bytes(path)).hexdigest()[:32]
        known = _read(memory)
        if known is not None and known[:-1] == state:
            return str(known[-1])
        content = hash_file(path)
        if _state(path) == state and self.clock() - max(state[1:3]) / 1e9 > SETTLED_SECONDS:
            self._write(memory, [*state, content])
        return content

    def _write(self, memory: Path, entry: list[Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # Not synced: an entry that a power failure tears is no JSON, and the file is hashed again.
        staging = memory.with_name(f"{memory.name}.{os.getpid()}.tmp")
        staging.write_text(json.dumps(entry))
        staging.replace(memory)


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _state(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev]


def _read(memory: Path) -> list[Any] | None:  # Any: numbers, then the hash
    with suppress(OSError, ValueError):
        entry = json.loads(memory.read_text())
        if isinstance(entry, list) and len(entry) == 6:
            return entry
    return None
