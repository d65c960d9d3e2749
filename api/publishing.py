"""Publishes a complete upload in its dataset: checks it first, then renames each file."""

import codecs
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol
from uuid import uuid4

from api.archives import SUFFIXES as ARCHIVE_SUFFIXES
from api.archives import is_archive, members
from api.errors import Problem
from api.received_files import (
    BUFFER_BYTES,
    MAX_NAME_BYTES,
    check_hash,
    full_disk_as_problem,
    is_file_name,
    move_files,
    one_at_a_time,
    refused_name,
)
from core.corpus.content import HEAD_BYTES, foreign_content
from core.corpus.formats.compression import open_stream
from core.corpus.formats.head import TABLE_MAGIC, require_format
from core.corpus.names import ACCEPTED, reason_left_out, shown_name, text_format, text_stem
from core.corpus.sources import LeftOut
from core.errors import RunError

MAX_LEFT_OUT = 100


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes:
        """At most `size` of the next bytes."""


@dataclass(frozen=True)
class Published:
    """The result of an upload."""

    files: list[str]
    left_out: list[LeftOut]
    """The members of an archive that are not used, at most `MAX_LEFT_OUT`."""


def file_kind(name: str) -> str:
    """The kind of an uploaded file with this name: `text` or `archive`.

    Raises:
        Problem: 422 if the name belongs to neither kind, or is not a valid file name.
    """
    if is_file_name(name):
        if is_archive(name):
            return "archive"
        if text_stem(name) is not None:
            return "text"
    accepted = f"{ACCEPTED}; archives: {', '.join(ARCHIVE_SUFFIXES)}"
    raise refused_name(name, "a text or an archive", accepted)


def publish(
    whole: Path,
    name: str,
    dataset: Path,
    *,
    sha256: str | None,
    folder: str | None,
    replace: bool,
) -> Published:
    """Publishes a complete upload in its dataset: the file, or the text files of the archive.

    The function checks all files first, and then renames each complete file into the dataset. In
    any case the uploaded file is removed. Returns the names of the files, and the unused members.

    Raises:
        Problem: 422 if the content is invalid; 409 if a file of that name exists and `replace` is
            False, or if a file with another suffix has the same stem.
    """
    staging = whole.parent / f"{uuid4().hex}.tmp"
    staging.mkdir()
    left_out: list[LeftOut] = []
    try:
        check_hash(whole, sha256)
        with full_disk_as_problem():
            if is_archive(name):
                left_out = _unpack(whole, name, staging, folder)
            else:
                whole.replace(staging / name)
                check_file(staging / name, name)
            names = sorted(path.name for path in staging.iterdir())
            with one_at_a_time(staging.parent):
                _refuse_taken(dataset, names, replace=replace)
                move_files(staging, dataset, names)
        return Published([shown_name(each) for each in names], left_out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        whole.unlink(missing_ok=True)


def check_file(path: Path, name: str) -> None:
    """Checks a text file of any format; checks only the beginning of a table, such as Parquet.

    Raises:
        Problem: 422 for the same reasons as in `check_text`.
        RunError: If the file is damaged or too large after decompression, or if the package that
            reads its format is missing.
    """
    form = text_format(path.name)
    assert form is not None
    try:
        if form.suffix not in TABLE_MAGIC:
            with open_stream(path, form.compression) as stream:
                check_text(stream, name, lambda _: None)
        if not form.is_plain:
            require_format(path, form)
    except RunError as error:
        error.replace(str(path), name)
        raise


def check_text(source: _Readable, name: str, write: Callable[[bytes], object]) -> None:
    """Reads a whole text, and passes each block to `write`.

    Raises:
        Problem: 422 if the text is not UTF-8, contains NUL bytes, is empty, or is the content of
            another format, such as a PDF.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    position, is_empty = 0, True
    while True:
        block = source.read(BUFFER_BYTES)
        if not position and (found := foreign_content(block[:HEAD_BYTES])) is not None:
            raise Problem(422, "corpus_not_text", f"{name} is {found[0]}. {found[1]}")
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise _bad_text(name, f"is not UTF-8 near byte {position + error.start}") from error
        if b"\0" in block:
            found_at = position + block.index(0)
            raise _bad_text(name, f"contains a NUL at byte {found_at}, so it is not text")
        if not block:
            break
        is_empty = is_empty and not text.strip()
        position += len(block)
        write(block)
    if is_empty:
        raise Problem(422, "corpus_empty", f"{name} contains no text")


def _unpack(whole: Path, name: str, staging: Path, folder: str | None) -> list[LeftOut]:
    """Writes the texts of an archive into `staging`; returns the members that are not used."""
    stems: dict[str, PurePosixPath] = {}
    left_out: list[LeftOut] = []

    def wanted(inner: PurePosixPath) -> bool:
        reason = _reason_left_out(inner, folder)
        if reason is not None and len(left_out) < MAX_LEFT_OUT:
            left_out.append(LeftOut(shown_name(str(inner)), reason))
        return reason is None

    for inner, reader in members(whole, name, wanted):
        stem = text_stem(inner.name)
        assert stem is not None
        if stem in stems:
            first, second = shown_name(str(stems[stem])), shown_name(str(inner))
            raise Problem(
                422,
                "archive_ambiguous",
                f"{name} contains {first} and {second}, which would be the same source; select "
                "one folder with ?folder=, or rename one of the files",
            )
        stems[stem] = inner
        path, shown = staging / inner.name, shown_name(str(inner))
        form = text_format(inner.name)
        with path.open("xb") as target:
            if form is not None and form.is_plain:
                check_text(reader, shown, target.write)
                continue
            while block := reader.read(BUFFER_BYTES):
                target.write(block)
        check_file(path, shown)
    if not stems:
        where = f" in a folder {folder!r}" if folder else ""
        raise Problem(422, "archive_empty", f"{name} has no text file{where}; accepted: {ACCEPTED}")
    return left_out


def _reason_left_out(inner: PurePosixPath, folder: str | None) -> str | None:
    if text_stem(inner.name) is None:
        return reason_left_out(inner.name)
    if len(os.fsencode(inner.name)) > MAX_NAME_BYTES:
        return f"has a name of more than {MAX_NAME_BYTES} bytes"
    if folder not in (None, inner.parent.name):
        return f"is not in the folder {folder}"
    return None


def _refuse_taken(dataset: Path, names: list[str], *, replace: bool) -> None:
    present = list(dataset.iterdir()) if dataset.is_dir() else []
    there = {text_stem(path.name) or path.name: path.name for path in present}
    for name in names:
        taken = there.get(text_stem(name) or name)
        if taken is not None and (taken != name or not replace):
            hint = "; send it with ?replace=true" if taken == name else ""
            detail = f"{dataset.name} has {shown_name(taken)} already{hint}"
            raise Problem(409, "file_exists", detail)


def _bad_text(name: str, reason: str) -> Problem:
    return Problem(422, "corpus_encoding", f"{name} {reason}")
