"""Cache of stage results. Runs share it and find results by their fingerprints.

A fingerprint is a hash of everything that determines a result: the stage's version, its parameters,
and the contents of its input files. A result is a folder `<stage>/<fingerprint>/`. Its content
never changes. The modification time of the folder is the time of its last use.

Processes that build or use a result hold a shared kernel lock (flock) on its folder until they
release it or exit. Pruning removes only folders that it can lock exclusively. Unlike a marker file,
a kernel lock cannot become stale when its process is killed.

Only one process at a time builds a result. This process holds an exclusive lock on the file
`.locks/<stage>.<fingerprint>`, and other processes that need the result wait, for example jobs of a
study that start at the same time. If the builder dies, one of the waiting processes builds the
result. On file systems without locks, several processes may build the result; the result that is
finished first is kept.

A run that is paused or waiting for a retry still needs its results, so it pins them. A pin is a
symbolic link `.pins/<stage>/<fingerprint>/<run>` to a file in the run folder that contains the
fingerprint. The pin is void if that file does not exist or no longer contains the fingerprint.
"""

import hashlib
import json
import os
import time
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
LOCKS = ".locks"
WAIT_SECONDS = 0.2
"""Seconds between two attempts to lock a build that another process has locked."""


@dataclass(frozen=True)
class CacheEntry:
    """A finished result, and whether it was already in the cache."""

    path: Path
    cached: bool

    @property
    def fingerprint(self) -> str:
        """The fingerprint, which is the name of the folder."""
        return self.path.name


@dataclass(frozen=True)
class CacheInfo:
    """A finished result in a listing of the cache."""

    stage: str
    fingerprint: str
    bytes: int
    used_at: datetime
    """Time of the last use, UTC."""


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
        waiting: Callable[[], None] = lambda: None,
    ) -> CacheEntry:
        """The result with this fingerprint. If it does not exist, `build` fills an empty folder.

        With `resume`, `build` may receive the folder of an interrupted build (see
        `publish_folder`). While another process builds the result, this method waits and calls
        `waiting` repeatedly; `waiting` can raise an exception to end the wait. Until `release` or
        the end of the process, the result stays locked, so `prune` does not remove it.
        """
        final = self.root / stage / fingerprint
        while not self._hold(final):
            lock = self._lock_build(stage, fingerprint)
            if lock is None:
                waiting()
                time.sleep(WAIT_SECONDS)
                continue
            try:
                # Another process may have published the result before this one got the lock.
                is_there = self._hold(final)
                if is_there or self._build(final, build, resume=resume):
                    return CacheEntry(final, cached=is_there)
            finally:
                _unlock(self._build_lock(stage, fingerprint), lock)
        return CacheEntry(final, cached=True)

    def _build(self, final: Path, build: Callable[[Path], None], *, resume: bool) -> bool:
        """Builds and locks a result; False if a process on another host built it first."""
        final.parent.mkdir(parents=True, exist_ok=True)
        locks: list[int] = []
        with ExitStack() as stack:

            def build_held(folder: Path) -> None:
                # The lock survives the rename of the folder, so the result is locked at all times.
                locks.append(_hold(folder))
                stack.callback(os.close, locks[0])
                build(folder)

            if not publish_folder(final, build_held, resume=resume):
                return False
            stack.pop_all()
            self._held.extend(locks)
        return True

    def _build_lock(self, stage: str, fingerprint: str) -> Path:
        return self.root / LOCKS / f"{stage}.{fingerprint}"

    def _lock_build(self, stage: str, fingerprint: str) -> int | None:
        """A descriptor with the exclusive lock of a build; None if another process has the lock."""
        path = self._build_lock(stage, fingerprint)
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            if not try_lock(file, without_locks=True):
                os.close(file)
                return None
            if is_still(path, file):
                return file
            os.close(file)  # the previous holder removed the file after it was opened here

    def find(self, stage: str, fingerprint: str) -> CacheEntry | None:
        """The result with the given fingerprint, locked as in `get`; None if it does not exist."""
        final = self.root / stage / fingerprint
        return CacheEntry(final, cached=True) if self._hold(final) else None

    def pin(self, stage: str, fingerprint: str, owner: Path) -> None:
        """Protects a result from `prune` while the file `owner` contains the fingerprint.

        The caller keeps the result locked until `owner` is written.
        """
        link = self._pin(stage, fingerprint, owner)
        while not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            # `FileNotFoundError` means that `prune` has just removed the empty folder.
            with suppress(FileNotFoundError, FileExistsError):
                # A relative path stays valid if the data folder is moved or mounted elsewhere.
                link.symlink_to(os.path.relpath(owner, link.parent))

    def unpin(self, stage: str, fingerprint: str, owner: Path) -> None:
        """Removes a pin if it exists."""
        _remove_pin(self._pin(stage, fingerprint, owner))

    def _pin(self, stage: str, fingerprint: str, owner: Path) -> Path:
        name = hashlib.sha256(bytes(owner)).hexdigest()[:32]
        return self.root.resolve() / PINS / stage / fingerprint / name

    def _is_pinned(self, stage: str, fingerprint: str) -> bool:
        """Whether a valid pin exists; removes void pins. The caller holds the exclusive lock."""
        folder = self.root / PINS / stage / fingerprint
        for link in list(folder.iterdir()) if folder.is_dir() else []:
            try:
                if fingerprint.encode() in link.read_bytes():
                    return True
            except (FileNotFoundError, NotADirectoryError):
                pass
            except OSError:  # the file is unreadable: assume that the run still needs the result
                return True
            _remove_pin(link)
        return False

    def release(self) -> None:
        """Releases the locks on all results."""
        while self._held:
            os.close(self._held.pop())

    @property
    def hashes(self) -> FileHashes:
        """Cached hashes of input files."""
        return FileHashes(self.root / "hashes")

    def entries(self) -> list[CacheInfo]:
        """All finished results, least recently used first."""
        found = []
        for folder in _folders(self.root):
            with suppress(FileNotFoundError):  # another process has pruned the result
                used = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
                found.append(CacheInfo(folder.parent.name, folder.name, _size(folder), used))
        return sorted(found, key=lambda info: (info.used_at, info.stage, info.fingerprint))

    def prune(self, max_bytes: int) -> list[CacheInfo]:
        """Removes results, least recently used first, until at most `max_bytes` remain.

        Keeps locked and pinned results, so more than `max_bytes` can remain. Also removes the
        incomplete folders of killed builds. Returns the removed results.
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
        """Locks a result and updates its time of last use; False if it does not exist."""
        try:
            file = _hold(final)
        except FileNotFoundError:
            return False
        if not is_still(final, file):  # another process pruned it after it was opened here
            os.close(file)
            return False
        self._held.append(file)
        os.utime(file)
        return True


def _hold(folder: Path) -> int:
    """A descriptor of the folder with a shared lock, which protects it from pruning."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        share_lock(file)
    except BaseException:
        os.close(file)
        raise
    return file


def _unlock(path: Path, file: int) -> None:
    """Removes the file of a lock, then releases the lock, so that no lock file remains."""
    path.unlink(missing_ok=True)
    os.close(file)


def _remove_pin(link: Path) -> None:
    link.unlink(missing_ok=True)
    with suppress(OSError):  # the folder has pins of other runs
        link.parent.rmdir()


def _remove_if_free(folder: Path, is_pinned: Callable[[], bool]) -> bool:
    """Removes a folder unless it is locked or pinned.

    This function reads pins only while it holds the exclusive lock. A run that is about to pin the
    result holds a shared lock, so this function then does not remove the folder.
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
    """The folders of finished results; with `staging`, those of unfinished results."""
    if not root.is_dir():
        return []
    return [
        folder
        for stage in sorted(root.iterdir())
        if stage.is_dir() and stage.name not in (PINS, LOCKS)
        for folder in sorted(stage.iterdir())
        if folder.is_dir() and folder.name.endswith(STAGING_SUFFIX) is staging
    ]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def fingerprint(stage: str, *, version: int, parameters: Any, inputs: Iterable[str]) -> str:
    """The fingerprint of a stage's result.

    Args:
        stage: Name of the stage.
        version: Version of the stage. It is increased if the stage gives another result for the
            same inputs.
        parameters: Parameters of the stage, a JSON value.
        inputs: Fingerprints or content hashes of the inputs, in order.
    """
    text = json.dumps([stage, version, parameters, list(inputs)], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
