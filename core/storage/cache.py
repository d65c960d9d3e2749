"""Results of stages, kept by fingerprint, shared between runs, dropped when they take too much.

A fingerprint covers all that decides the result: the stage's version, its parameters, and the
contents of its input files. The result of a stage is a folder `<stage>/<fingerprint>/` that never
changes; so its modification time is free to say when it was last used.

Whoever builds or uses a result holds a kernel lock (flock) on its folder, shared, until it lets go
or ends; pruning takes only what it can lock for itself. A lock in the kernel cannot be left
behind by a process that was killed, as a file that says "in use" would be.

A run that has not finished needs its results also while it is paused or waits for a retry: it pins
them. A pin is a symbolic link `.pins/<stage>/<fingerprint>/<run>` to a file of the run folder that
names the fingerprint; it is void where that file is gone or names it no longer.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from core.storage.file_hashes import FileHashes
from core.storage.rundir import (
    STAGING_SUFFIX,
    is_still,
    publish_folder,
    remove_folder,
    share_lock,
    try_lock,
)

PINS = ".pins"


@dataclass(frozen=True)
class CacheEntry:
    """A finished result, and whether it was there already."""

    path: Path
    cached: bool

    @property
    def fingerprint(self) -> str:
        """Its name in the cache."""
        return self.path.name


@dataclass(frozen=True)
class CacheInfo:
    """A finished result as a list of the cache shows it."""

    stage: str
    fingerprint: str
    bytes: int
    used_at: datetime
    """When a run last asked for it, UTC."""


@dataclass(frozen=True)
class Cache:
    """The shared folder of stage results."""

    root: Path
    _held: list[int] = field(default_factory=list, init=False, repr=False, compare=False)

    def get(
        self,
        stage: str,
        fingerprint: str,
        build: Callable[[Path], None],
        *,
        resume: bool = False,
    ) -> CacheEntry:
        """The result of that fingerprint; `build` is called with an empty folder if there is none.

        With `resume` it may get what an interrupted one left behind (see `publish_folder`).
        The result is held, and safe from `prune`, until `release` or the end of the process. Two
        builders at once do no harm: the second finds the place taken and drops its own.
        """
        final = self.root / stage / fingerprint
        if self._hold(final):
            return CacheEntry(final, cached=True)
        final.parent.mkdir(parents=True, exist_ok=True)

        locks: list[int] = []
        with ExitStack() as stack:

            def build_held(folder: Path) -> None:
                # A lock goes with the folder when it is renamed: no gap between build and use.
                locks.append(_hold(folder))
                stack.callback(os.close, locks[0])
                build(folder)

            if publish_folder(final, build_held, resume=resume):
                stack.pop_all()
                self._held.extend(locks)
                return CacheEntry(final, cached=False)
        return self.get(stage, fingerprint, build, resume=resume)  # another builder was first

    def find(self, stage: str, fingerprint: str) -> CacheEntry | None:
        """The result of that fingerprint, held as by `get`; None if there is none."""
        final = self.root / stage / fingerprint
        return CacheEntry(final, cached=True) if self._hold(final) else None

    def pin(self, stage: str, fingerprint: str, owner: Path) -> None:
        """Keeps a result from `prune` for as long as the file `owner` names its fingerprint.

        The caller holds the result until `owner` is written.
        """
        link = self._pin(stage, fingerprint, owner)
        while not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            # Not found: `prune` removed the empty folder in between.
            with suppress(FileNotFoundError, FileExistsError):
                # Relative, so that it holds where all of it is moved or mounted elsewhere.
                link.symlink_to(os.path.relpath(owner, link.parent))

    def unpin(self, stage: str, fingerprint: str, owner: Path) -> None:
        """Takes a pin back; harmless where there is none."""
        _remove_pin(self._pin(stage, fingerprint, owner))

    def _pin(self, stage: str, fingerprint: str, owner: Path) -> Path:
        name = hashlib.sha256(bytes(owner)).hexdigest()[:32]
        return self.root.resolve() / PINS / stage / fingerprint / name

    def _is_pinned(self, stage: str, fingerprint: str) -> bool:
        """Whether a run needs the result; removes pins that are void. The caller holds it alone."""
        folder = self.root / PINS / stage / fingerprint
        for link in list(folder.iterdir()) if folder.is_dir() else []:
            try:
                if fingerprint.encode() in link.read_bytes():
                    return True
            except (FileNotFoundError, NotADirectoryError):
                pass
            except OSError:  # no reason to take from a run what it may need
                return True
            _remove_pin(link)
        return False

    def release(self) -> None:
        """Lets go of all results that this object holds."""
        while self._held:
            os.close(self._held.pop())

    @property
    def hashes(self) -> FileHashes:
        """Hashes of files that were read before."""
        return FileHashes(self.root / "hashes")

    def entries(self) -> list[CacheInfo]:
        """All finished results, the least recently used first."""
        found = []
        for folder in _folders(self.root):
            with suppress(FileNotFoundError):  # pruned by somebody else meanwhile
                used = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
                found.append(CacheInfo(folder.parent.name, folder.name, _size(folder), used))
        return sorted(found, key=lambda info: (info.used_at, info.stage, info.fingerprint))

    def prune(self, max_bytes: int) -> list[CacheInfo]:
        """Drops results, the least recently used first, until `max_bytes` are left at most.

        What a run holds or has pinned stays, so more than `max_bytes` may be left. Folders that
        killed builders left half written go too; they are in no list. Returns what was dropped.
        """
        for folder in _folders(self.root, staging=True):
            _remove_if_free(folder, lambda: False)
        entries = self.entries()
        total = sum(info.bytes for info in entries)
        dropped = []
        for info in entries:
            if total <= max_bytes:
                break
            folder = self.root / info.stage / info.fingerprint
            if _remove_if_free(folder, partial(self._is_pinned, info.stage, info.fingerprint)):
                dropped.append(info)
                total -= info.bytes
        return dropped

    def _hold(self, final: Path) -> bool:
        """Locks a result for use and notes that it was used; False if it is not there."""
        try:
            file = _hold(final)
        except FileNotFoundError:
            return False
        if not is_still(final, file):  # pruned between opening and locking
            os.close(file)
            return False
        self._held.append(file)
        os.utime(file)
        return True


def _hold(folder: Path) -> int:
    """An open descriptor of the folder that keeps it from being pruned."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        share_lock(file)
    except BaseException:
        os.close(file)
        raise
    return file


def _remove_pin(link: Path) -> None:
    link.unlink(missing_ok=True)
    with suppress(OSError):  # others pin the same result
        link.parent.rmdir()


def _remove_if_free(folder: Path, is_pinned: Callable[[], bool]) -> bool:
    """Removes a folder unless a process holds it or `is_pinned`.

    Pins are read under the exclusive lock, which no run that is about to pin the result can lose.
    """
    try:
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if not try_lock(file, without_locks=False) or is_pinned():
            return False
        if is_still(folder, file):
            remove_folder(folder)
        return True
    finally:
        os.close(file)


def _folders(root: Path, *, staging: bool = False) -> Iterable[Path]:
    """The folders of results, or with `staging` those that are being built."""
    if not root.is_dir():
        return []
    return [
        folder
        for stage in sorted(root.iterdir())
        if stage.is_dir() and stage.name != PINS
        for folder in sorted(stage.iterdir())
        if folder.is_dir() and folder.name.endswith(STAGING_SUFFIX) is staging
    ]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


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
