"""Publishes uploaded evaluation files: checks all files first, then moves them to their task."""

import shutil
from pathlib import Path, PurePosixPath
from uuid import uuid4

from api.archives import is_archive, members
from api.errors import Problem
from api.received_files import (
    BUFFER_BYTES,
    check_hash,
    full_disk_as_problem,
    is_file_name,
    move_files,
    one_at_a_time,
    refused_name,
)
from core.corpus.names import shown_name
from core.errors import EvaluationInvalid
from core.evaluation.aoa import Aoa
from core.evaluation.reading import Reading
from core.evaluation.registry import (
    SUFFIXES,
    read_items,
    read_reading,
    read_words,
    recognise,
    task_files,
)
from core.storage.links import link_or_copy


def check_name(name: str) -> None:
    """Refuses a name that is neither that of an evaluation file nor that of an archive.

    Raises:
        Problem: 422.
    """
    if is_file_name(name) and (name.endswith(SUFFIXES) or is_archive(name)):
        return
    accepted = ", ".join((*SUFFIXES, ".zip", ".tar", ".tar.gz"))
    raise refused_name(name, "an evaluation file or an archive", accepted)


def publish_task(
    whole: Path, name: str, task: Path, *, sha256: str | None, folder: str | None, replace: bool
) -> list[str]:
    """Puts a complete upload into the folder of a task; returns the names of the added files.

    All files of the task, old and new, must be of one kind, and every line of the new files must
    parse. In any case the uploaded file is removed.

    Raises:
        Problem: 422 if a file is invalid, 409 if a file of that name exists and `replace` is False.
    """
    staging = whole.parent / f"{uuid4().hex}.tmp"
    (staging / task.name).mkdir(parents=True)
    try:
        check_hash(whole, sha256)
        with full_disk_as_problem():
            names = _unpack(whole, name, staging / task.name, folder)
            with one_at_a_time(whole.parent):
                _refuse_taken(task, names, replace=replace)
                _check_together(staging / task.name, task)
                move_files(staging / task.name, task, names)
        return names
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        whole.unlink(missing_ok=True)


def _unpack(whole: Path, name: str, target: Path, folder: str | None) -> list[str]:
    if not is_archive(name):
        shutil.copyfile(whole, target / name)
        return [name]

    def wanted(inner: PurePosixPath) -> bool:
        is_file = inner.suffix in SUFFIXES and not inner.name.startswith(".")
        return is_file and folder in (None, inner.parent.name)

    names: list[str] = []
    for inner, reader in members(whole, name, wanted):
        if inner.name in names:
            detail = (
                f"{name} contains two files named {shown_name(inner.name)}; select one "
                "folder with ?folder=, or rename one of the files"
            )
            raise Problem(422, "archive_ambiguous", detail)
        names.append(inner.name)
        with (target / inner.name).open("xb") as file:
            while block := reader.read(BUFFER_BYTES):
                file.write(block)
    if not names:
        where = f" in a folder {folder!r}" if folder else ""
        detail = f"{name} has no evaluation file{where}; accepted: {', '.join(SUFFIXES)}"
        raise Problem(422, "archive_empty", detail)
    return sorted(names)


def _check_together(staged: Path, task: Path) -> None:
    """Parses every line of the new files, in a folder that also has the files of the task."""
    new = task_files(staged)
    if not new:
        raise Problem(422, "evaluation_invalid", f"{task.name}: no evaluation file was sent")
    known = task_files(task)
    if known and known[0].suffix != new[0].suffix:
        detail = (
            f"{task.name} has {known[0].suffix} files, but {shown_name(new[0].name)} has another "
            "suffix; put the files of different tasks into different folders"
        )
        raise Problem(422, "evaluation_invalid", detail)
    for path in known:
        if not (staged / path.name).exists():
            link_or_copy(path, staged / path.name)
    try:
        kind = recognise(staged)
        for path in new:
            if isinstance(kind, Reading):
                read_reading(path)
            elif isinstance(kind, Aoa):
                read_words(path)
            else:
                read_items(kind, path)
    except EvaluationInvalid as error:
        raise Problem(422, error.code, error.message) from error


def _refuse_taken(task: Path, names: list[str], *, replace: bool) -> None:
    taken = [name for name in names if (task / name).exists()]
    if taken and not replace:
        detail = f"{task.name} has {shown_name(taken[0])} already; send it with ?replace=true"
        raise Problem(409, "file_exists", detail)
