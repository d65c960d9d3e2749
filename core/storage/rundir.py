"""Every path in a run folder, and how a file or folder is published in it.

Whatever somebody else may read is written beside its final name, synced, and renamed into place:
a name that can be seen is whole.
"""

import errno
import fcntl
import hashlib
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from core.errors import RunLocked, Stopped

STAGING_SUFFIX = ".tmp"
YOUNG_SECONDS = 10.0
FOREIGN_SECONDS = 7 * 86_400.0
"""A folder that another host began is left alone so long: its lock cannot be seen from here."""
BUILDER = re.compile(r"\.([0-9a-f]{8})[0-9a-f]{8}\.tmp\Z")
"""In the name of a folder that is being built: the host, then a number."""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What flock(2) says on a file system without locks."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class RunDir:
    """The folder of one run."""

    root: Path

    @property
    def spec(self) -> Path:
        """The resolved spec, JSON."""
        return self.root / "spec.json"

    @property
    def journal(self) -> Path:
        """The events, JSON lines."""
        return self.root / "events.jsonl"

    @property
    def inputs(self) -> Path:
        """The text and the tokenizer that the run is trained on: JSON, `core.storage.inputs`."""
        return self.root / "inputs.json"

    @property
    def log(self) -> Path:
        """What the training child printed."""
        return self.root / "run.log"

    @property
    def lock(self) -> Path:
        """Locked by the one process that may write here."""
        return self.root / "run.lock"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer, as Hugging Face saves it."""
        return self.root / "tokenizer"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints that a user may download, a folder each."""
        return self.root / "checkpoints"

    @property
    def evaluations(self) -> Path:
        """Predictions of evaluations, and the progress of unfinished ones; see `evaluation`."""
        return self.root / "evaluations"

    def evaluation(self, checkpoint: str, task: str) -> Path:
        """The folder of a checkpoint's evaluation on a task."""
        return self.evaluations / checkpoint / task

    def predictions(self, checkpoint: str, task: str) -> Path:
        """What the checkpoint predicted for each item of the task, in the official format."""
        return self.evaluation(checkpoint, task) / "predictions.json"

    @property
    def resume(self) -> Path:
        """What only resuming needs: weights, optimizer, data position, random states."""
        return self.root / "resume"

    def checkpoint(self, name: str) -> Path:
        """The folder of the checkpoint of that name."""
        return self.checkpoints / name


@contextmanager
def locked(rundir: RunDir) -> Iterator[None]:
    """Holds the run folder for this process; the kernel lets go when the process ends.

    Raises:
        RunLocked: If another process holds it.
    """
    file = os.open(rundir.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not try_lock(file, without_locks=True):
            raise RunLocked(f"another process is at work in {rundir.root}")
        yield
    finally:
        os.close(file)


def try_lock(file: int, *, without_locks: bool) -> bool:
    """Locks an open file for this process alone; False if another process holds it.

    Args:
        file: Its descriptor.
        without_locks: What to answer on a file system that has no locks.

    Some file systems of clusters offer no locks, or only between processes of one host (Lustre with
    `localflock`). There the number of the attempt in the job's row and the silence limit of the
    training process keep two processes apart: `flock` only helps.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return without_locks
    return True


def share_lock(file: int) -> None:
    """Locks an open file against `try_lock` of others, where the file system has locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


def publish_file(path: Path, content: bytes) -> None:
    """Writes `content` under `path` so that a reader sees the old file or the new one."""
    staging = path.with_name(path.name + STAGING_SUFFIX)
    with staging.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    staging.replace(path)
    sync_folder(path.parent)


def publish_folder(final: Path, build: Callable[[Path], None], *, resume: bool = False) -> bool:
    """Lets `build` fill a folder beside `final`, syncs it, and renames it into place.

    Args:
        final: The folder that others see.
        build: Called with an empty folder.
        resume: `build` may get the folder of an earlier call for `final` instead, which was killed
            or raised `Stopped`.

    Returns:
        False, and throws the new folder away, where `final` is already there: whoever was first
        built the same. What killed processes left behind is removed first.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    staging, held = _begin(final, resume=resume)
    keep = False
    try:
        remove_abandoned(final.parent)
        build(staging)
        sync_tree(staging)
        try:
            staging.rename(final)
        except OSError:
            if not final.is_dir():
                raise
            return False
        sync_folder(final.parent)
        return True
    except Stopped:
        keep = resume
        raise
    finally:
        if not keep:
            shutil.rmtree(staging, ignore_errors=True)
        os.close(held)


def _begin(final: Path, *, resume: bool) -> tuple[Path, int]:
    """A folder to build in, and its descriptor, which holds a lock for as long as it is open."""
    while True:
        staging = final.with_name(f"{final.name}.{_host()}{uuid4().hex[:8]}{STAGING_SUFFIX}")
        if not (resume and _take_over(final, staging)):
            staging.mkdir()
        with suppress(FileNotFoundError):
            held = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            # Shared: whoever builds may hold the folder too, and only who takes it wants it alone.
            share_lock(held)
            if is_still(staging, held):
                return staging, held
            os.close(held)  # taken before it was locked


def _take_over(final: Path, staging: Path) -> bool:
    """Renames a folder in which a builder of `final` began, and that it does not hold any more."""
    for path in final.parent.glob(f"{final.name}.{_host()}{'[0-9a-f]' * 8}{STAGING_SUFFIX}"):
        with suppress(OSError):  # its builder lives, or it is gone
            file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                if not try_lock(file, without_locks=False):
                    continue
                path.rename(staging)
            finally:
                os.close(file)
            return True
    return False


def _host() -> str:
    """Eight digits that tell this running kernel from others: only its own locks can be seen."""
    return hashlib.sha256(boot_id().encode()).hexdigest()[:8]


def boot_id() -> str:
    """What tells this running kernel from any other; the host's name where that is not known."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return socket.gethostname()[:64]


def is_still(path: Path, file: int) -> bool:
    """Whether the path still names what was opened."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def remove_abandoned(folder: Path, *, young_seconds: float = YOUNG_SECONDS) -> None:
    """Removes folders that `publish_folder` began in `folder` and whose process is gone.

    Each builder locks its folder for as long as it lives. Between the making of a folder and its
    lock there is a moment, so one that is younger than `young_seconds` is left alone.
    """
    for path in folder.glob(f"*{STAGING_SUFFIX}"):
        try:
            file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:  # a file, or gone already
            continue
        try:
            age = time.time() - os.fstat(file).st_ctime
            builder = BUILDER.search(path.name)
            is_foreign = builder is not None and builder[1] != _host()
            is_old = age >= (FOREIGN_SECONDS if is_foreign else young_seconds)
            if is_old and try_lock(file, without_locks=False):
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(file)


def remove_folder(path: Path) -> None:
    """Removes a published folder; it is out of sight at once, whatever happens afterwards."""
    doomed = path.with_name(f"{path.name}.{uuid4().hex[:8]}.removed{STAGING_SUFFIX}")
    try:
        path.rename(doomed)
    except FileNotFoundError:
        return
    shutil.rmtree(doomed, ignore_errors=True)


def remove_staging(folder: Path) -> None:
    """Removes what killed processes left half written in `folder`. The caller holds the lock."""
    if folder.is_dir():
        for path in folder.iterdir():
            if path.name.endswith(STAGING_SUFFIX):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def sync_tree(folder: Path) -> None:
    """Waits until all files and folders below `folder` are on the disk."""
    for directory, _, names in os.walk(folder):
        for name in names:
            _sync(Path(directory) / name, os.O_RDONLY)
        sync_folder(Path(directory))


def sync_folder(folder: Path) -> None:
    """Waits until the names in `folder` are on the disk."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    file = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
