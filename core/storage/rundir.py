"""Paths of a run folder, and atomic publishing of files and folders.

A file or folder is written under a temporary name in the same folder, synced to disk and then
renamed, so that readers never see an incomplete file or folder.
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
"""Minimum age in seconds of a temporary folder that `remove_abandoned` removes."""
FOREIGN_SECONDS = 7 * 86_400.0
"""Age in seconds at which a temporary folder of another host counts as abandoned. It is long,
because locks of another host may be invisible here."""
BUILDER = re.compile(r"\.([0-9a-f]{8})[0-9a-f]{8}\.tmp\Z")
"""Suffix of temporary folders: eight hexadecimal digits for the host, then eight random ones."""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""Errors of flock(2) on a file system without locks."""
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
        """The recorded inputs of the run, JSON; see `core.storage.inputs`."""
        return self.root / "inputs.json"

    @property
    def log(self) -> Path:
        """Output of the training process."""
        return self.root / "run.log"

    @property
    def lock(self) -> Path:
        """Lock file. The process that may write into the run folder holds the lock."""
        return self.root / "run.lock"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer in Hugging Face's format."""
        return self.root / "tokenizer"

    @property
    def initial(self) -> Path:
        """The weights of a warm start; see `core.checkpoints.initial_weights`."""
        return self.root / "init" / "from"

    @property
    def initial_tokenizer(self) -> Path:
        """The tokenizer that belongs to the weights of a warm start."""
        return self.initial / "tokenizer"

    @property
    def checkpoints(self) -> Path:
        """The downloadable checkpoints, one folder each."""
        return self.root / "checkpoints"

    @property
    def evaluations(self) -> Path:
        """Predictions of evaluations, and the sums of unfinished evaluations."""
        return self.root / "evaluations"

    def evaluation(self, checkpoint: str, task: str) -> Path:
        """The folder of a checkpoint's evaluation on a task."""
        return self.evaluations / checkpoint / task

    def predictions(self, checkpoint: str, task: str) -> Path:
        """The file of a checkpoint's predictions on a task, in the official format."""
        return self.evaluation(checkpoint, task) / "predictions.json"

    @property
    def source(self) -> Path:
        """Links to the checkpoint of another job that this run fine-tunes."""
        return self.root / "source"

    @property
    def submissions(self) -> Path:
        """Submissions to the challenge, one folder each."""
        return self.root / "submissions"

    @property
    def trackers(self) -> Path:
        """Cursors and logs of the replays into experiment trackers; see `core.export.tracking`."""
        return self.root / "trackers"

    @property
    def tensorboard(self) -> Path:
        """The folder of the event file for TensorBoard."""
        return self.root / "tensorboard"

    @property
    def resume(self) -> Path:
        """Resume points: weights, optimizer state, data position, random states."""
        return self.root / "resume"

    def resume_point(self, step: int) -> Path:
        """The folder of the resume point of a step."""
        return self.resume / f"step-{step:06d}"

    def resume_points(self) -> dict[int, Path]:
        """The folders of the resume points by step, newest first."""
        named = [(path.name.removeprefix("step-"), path) for path in self.resume.glob("step-*")]
        found = {int(number): path for number, path in named if number.isdigit()}
        return dict(sorted(found.items(), reverse=True))

    def checkpoint(self, name: str) -> Path:
        """The folder of the checkpoint called `name`."""
        return self.checkpoints / name


@contextmanager
def locked(rundir: RunDir) -> Iterator[None]:
    """Locks the run folder for this process; the kernel releases the lock when the process ends.

    Raises:
        RunLocked: If another process holds the lock.
    """
    file = os.open(rundir.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not try_lock(file, without_locks=True):
            raise RunLocked(f"another process has locked {rundir.root}")
        yield
    finally:
        os.close(file)


def try_lock(file: int, *, without_locks: bool) -> bool:
    """Locks an open file exclusively; False if another process holds a lock on it.

    Args:
        file: File descriptor.
        without_locks: Return value on a file system without locks.

    Some cluster file systems have no locks. On others, processes of different hosts do not see each
    other's locks (Lustre with `localflock`). Two other rules therefore prevent two processes from
    working on one run: the attempt number in the job's row, and the time after which a training
    process without heartbeats exits. `flock` is only an additional protection.
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
    """Takes a shared lock on an open file, if the file system supports locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


def publish_file(path: Path, content: bytes) -> None:
    """Writes `content` to `path` atomically: readers see either the old file or the new one."""
    staging = path.with_name(path.name + STAGING_SUFFIX)
    with staging.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    staging.replace(path)
    sync_folder(path.parent)


def publish_folder(final: Path, build: Callable[[Path], None], *, resume: bool = False) -> bool:
    """Builds a folder in a temporary sibling of `final`, syncs it, and renames it to `final`.

    Also removes abandoned temporary folders.

    Args:
        final: The folder to publish.
        build: Called with an empty folder, which it fills.
        resume: Whether `build` may receive, instead of an empty folder, the folder of an earlier
            call for `final` that was killed or raised `Stopped`.

    Returns:
        False if `final` already exists. The new folder is then removed, because both folders have
        the same content.
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
    """A temporary folder and its descriptor, which holds a shared lock until it is closed."""
    while True:
        staging = final.with_name(f"{final.name}.{_host()}{uuid4().hex[:8]}{STAGING_SUFFIX}")
        if not (resume and _take_over(final, staging)):
            staging.mkdir()
        with suppress(FileNotFoundError):
            held = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            # The lock is shared, because `build` may also lock the folder. A takeover takes an
            # exclusive lock.
            share_lock(held)
            if is_still(staging, held):
                return staging, held
            os.close(held)  # another process took over the folder before this one locked it


def _take_over(final: Path, staging: Path) -> bool:
    """Renames an interrupted build's folder for `final` to `staging`; False if there is none."""
    for path in final.parent.glob(f"{final.name}.{_host()}{'[0-9a-f]' * 8}{STAGING_SUFFIX}"):
        with suppress(OSError):  # the folder is locked, or another process has removed it
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
    """Eight hexadecimal digits for the running kernel. Locks of other kernels may be invisible."""
    return hashlib.sha256(boot_id().encode()).hexdigest()[:8]


def boot_id() -> str:
    """An identifier of the running kernel; the host name if the kernel provides none."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return socket.gethostname()[:64]


def is_still(path: Path, file: int) -> bool:
    """Whether `path` still refers to the open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def remove_abandoned(folder: Path, *, young_seconds: float = YOUNG_SECONDS) -> None:
    """Removes the temporary folders in `folder` that no running process uses.

    `publish_folder` keeps its temporary folder locked. Folders that changed less than
    `young_seconds` ago are kept, because `publish_folder` locks a folder shortly after creating it.
    """
    for path in folder.glob(f"*{STAGING_SUFFIX}"):
        try:
            file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:  # it is a file, or it was removed
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
    """Removes a published folder; renames it first, so that it disappears atomically."""
    removed = path.with_name(f"{path.name}.{uuid4().hex[:8]}.removed{STAGING_SUFFIX}")
    try:
        path.rename(removed)
    except FileNotFoundError:
        return
    shutil.rmtree(removed, ignore_errors=True)


def remove_staging(folder: Path) -> None:
    """Removes temporary files and folders of killed processes. The caller holds the run lock."""
    if folder.is_dir():
        for path in folder.iterdir():
            if path.name.endswith(STAGING_SUFFIX):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def sync_tree(folder: Path) -> None:
    """Syncs all files and folders below `folder` to disk."""
    for directory, _, names in os.walk(folder):
        for name in names:
            _sync(Path(directory) / name, os.O_RDONLY)
        sync_folder(Path(directory))


def sync_folder(folder: Path) -> None:
    """Syncs the directory entries of `folder` to disk."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    file = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
