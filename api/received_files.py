"""Functions that publish a completely received upload, for datasets and evaluation tasks."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from api.errors import Problem
from core.corpus.names import shown_name
from core.storage.rundir import publish_folder, sync_folder

BUFFER_BYTES = 1 << 20
MAX_NAME_BYTES = 240
"""Maximum length of a file name in bytes. File systems allow 255 bytes, and the service appends a
suffix while an upload is unfinished."""


def is_file_name(name: str) -> bool:
    """Whether an uploaded file may have this name. Does not check the suffix."""
    return name_fault(name) is None


def name_fault(name: str) -> str | None:
    """Why an uploaded file cannot have this name; None if it can. Does not check the suffix."""
    if not name.isprintable():
        return "the name has characters that are not printable"
    if "/" in name:
        return "the name has a '/'"
    if name.startswith("."):
        return "the name begins with a full stop"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"the name has more than {MAX_NAME_BYTES} bytes"
    return None


def refused_name(name: str, what: str, accepted: str) -> Problem:
    """The problem of an uploaded file whose name is not accepted.

    The detail has first the cause and then the accepted suffixes. The field has only the cause.

    Args:
        name: The name.
        what: What the service accepts, such as "a text or an archive".
        accepted: The accepted suffixes.
    """
    suffix = PurePosixPath(name).suffix
    wrong_suffix = f"the ending {suffix!r} is not that" if suffix else "the name has no ending"
    cause = name_fault(name) or f"{wrong_suffix} of {what}"
    detail = f"{shown_name(name)}: {cause}. Accepted endings: {accepted}"
    return Problem(422, "file_name_invalid", detail, fields=[("name", cause, name)])


def check_hash(received: Path, sha256: str | None) -> None:
    """Compares a file with the hash that its sender gave, if any.

    Raises:
        Problem: 422 if the hashes differ.
    """
    if sha256 is None:
        return
    with received.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256.lower():
        detail = f"the received file has the SHA-256 {found}, not {sha256}; send it again"
        raise Problem(422, "checksum_wrong", detail)


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Locks a folder within the block.

    Only one block with the same folder runs at a time, in all threads and processes.
    """
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def move_files(staging: Path, target: Path, names: Sequence[str]) -> None:
    """Renames complete files into a folder. A new folder appears with all its files at once."""
    if not target.exists():

        def build(folder: Path) -> None:
            for name in names:
                (staging / name).replace(folder / name)

        publish_folder(target, build)
        return
    for name in names:
        with (staging / name).open("rb") as file:
            os.fsync(file.fileno())
        (staging / name).replace(target / name)
    sync_folder(target)


@contextmanager
def full_disk_as_problem() -> Iterator[None]:
    """Turns the error of a full disk within the block into a 507 problem."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Problem(507, "disk_full", "the disk of the service is full") from error
        raise
