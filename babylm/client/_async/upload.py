"""Sends files to the service in pieces; resumes partial transfers."""

import asyncio
import hashlib
import os
from asyncio import to_thread
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from babylm.client._async.connection import RETRIED, AsyncConnection
from babylm.client.errors import InvalidUsage, ServiceError, ServiceUnreachable
from babylm.client.paths import path_part

PIECE_BYTES = 8 << 20
TRIES = 6
"""Maximum number of consecutive failed requests."""
RETRY_SECONDS = 0.5
SPLITS_FILE = "dataset_dict.json"
"""A saved Hugging Face dataset has this file if it has one folder for each split."""
NAME_REFUSED = "file_name_invalid"
"""Error code with which the service refuses a file name before it reads the file."""

EVALUATION_SUFFIXES = (".jsonl", ".csv", ".json")

Advance = Callable[[int], None]
LeaveOut = Callable[[str, str], None]
"""A function that is called for each unused file, with its name and the reason."""


def files_to_send(path: Path, folder: str | None = None) -> dict[Path, str]:
    """The file, or the visible files of the folder and its subfolders, with the names to send.

    The service decides which files it accepts. If several files have the same name, the names to
    send include the subfolders: `a/x.txt` is sent as `a-x.txt`.

    Args:
        path: A file or a folder.
        folder: If there are subfolders of this name, only their files are sent.

    Raises:
        InvalidUsage: If there is no file, or the folder is a saved dataset with splits and `folder`
            names none of them.
    """
    if path.is_file():
        return {path: sent_name(path)}
    if not path.is_dir():
        raise InvalidUsage(f"{path} does not exist")
    if folder is None and (path / SPLITS_FILE).is_file():
        splits = ", ".join(sorted(each.name for each in path.iterdir() if each.is_dir()))
        raise InvalidUsage(
            f"{path} is a saved dataset with a folder for each split ({splits}); choose one with "
            "--folder"
        )
    files = [each for each in sorted(path.rglob("*")) if each.is_file() and _is_visible(each, path)]
    files = [each for each in files if each.parent.name == folder] or files
    if not files:
        raise InvalidUsage(f"{path} has no files")
    times = Counter(each.name for each in files)
    return {
        each: sent_name(
            each if times[each.name] == 1 else Path("-".join(each.relative_to(path).parts))
        )
        for each in files
    }


def _is_visible(file: Path, root: Path) -> bool:
    return not any(part.startswith(".") for part in file.relative_to(root).parts)


async def upload_folder(
    client: AsyncConnection,
    dataset: str,
    path: Path,
    *,
    folder: str | None,
    replace: bool,
    advance: Advance,
    leave_out: LeaveOut,
) -> list[str]:
    """Sends the files of a folder; leaves out a file if the service does not accept its name.

    Raises:
        InvalidUsage: If the service accepts no file.
        ServiceError: If the service refuses a file for another reason.
    """
    published: list[str] = []
    refused = 0
    files = files_to_send(path, folder)
    is_split = all(file.parent.name == folder for file in files)
    for file, name in files.items():
        try:
            published += await upload_file(
                client,
                dataset,
                file,
                name=name,
                folder=None if is_split else folder,
                replace=replace,
                advance=advance,
                leave_out=leave_out,
            )
        except ServiceError as error:
            if error.details.get("code") != NAME_REFUSED:
                raise
            leave_out(name, f"is not accepted: {_name_fault(error, name, is_first=not refused)}")
            refused += 1
            advance(file.stat().st_size)
    if refused == len(files):
        where = f" in a folder {folder!r}" if is_split else ""
        raise InvalidUsage(f"{path} has no text file or archive{where} that the service accepts")
    return published


def _name_fault(error: ServiceError, name: str, *, is_first: bool) -> str:
    """Why the service refuses the name; the first reason of a call includes what is accepted."""
    whole = str(error.details.get("detail", error.message)).removeprefix(f"{name}: ")
    faults = error.details.get("errors")
    if is_first or not isinstance(faults, list) or not faults:
        return whole
    return str(faults[0].get("message", whole))


async def upload_file(
    client: AsyncConnection,
    dataset: str,
    file: Path,
    *,
    name: str | None = None,
    folder: str | None,
    replace: bool,
    advance: Advance,
    leave_out: LeaveOut,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> list[str]:
    """Sends one file, as `name` if given; returns the names of the files that the service created.

    `leave_out` is called for each unused member of an archive.

    Raises:
        InvalidUsage: If there is no such file.
        ServiceError: If the service refuses the file.
        ServiceUnreachable: If the service does not answer any more.
    """
    if not file.is_file():
        raise InvalidUsage(f"{file} does not exist")
    base = f"/v1/datasets/{path_part(dataset, 'dataset')}"
    return await _send(
        client,
        base,
        file,
        name=name or sent_name(file),
        folder=folder,
        replace=replace,
        advance=advance,
        leave_out=leave_out,
        sleep=sleep,
    )


def evaluation_files(path: Path) -> list[Path]:
    """The file, or the evaluation files of the folder, sorted by name.

    Raises:
        InvalidUsage: If there is no such file.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InvalidUsage(f"{path} does not exist")
    files = [each for each in sorted(path.iterdir()) if each.suffix in EVALUATION_SUFFIXES]
    if not files:
        accepted = ", ".join(EVALUATION_SUFFIXES)
        raise InvalidUsage(f"{path} has no evaluation file; accepted: {accepted}")
    return files


async def send_evaluation(
    client: AsyncConnection,
    task: str,
    file: Path,
    *,
    folder: str | None = None,
    replace: bool = False,
    advance: Advance = lambda _: None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> list[str]:
    """Sends a file of an evaluation task; returns the names of the files that were published.

    Raises:
        ServiceError: If the service refuses the file.
        ServiceUnreachable: If the service does not answer any more.
    """
    base = f"/v1/evaluations/{path_part(task, 'evaluation task')}"
    return await _send(
        client,
        base,
        file,
        name=sent_name(file),
        folder=folder,
        replace=replace,
        advance=advance,
        leave_out=lambda *_: None,
        sleep=sleep,
    )


async def _send(
    client: AsyncConnection,
    base: str,
    file: Path,
    *,
    name: str,
    folder: str | None,
    replace: bool,
    advance: Advance,
    leave_out: LeaveOut,
    sleep: Callable[[float], Awaitable[None]],
) -> list[str]:
    size = file.stat().st_size
    with file.open("rb") as source:
        digest = (await to_thread(hashlib.file_digest, source, "sha256")).hexdigest()
        query: dict[str, str] = {"name": name, "sha256": digest}
        query |= {"folder": folder} if folder else {}
        query |= {"replace": "true"} if replace else {}
        begin, failures = await _received(client, base, name, size), 0
        advance(begin)
        while True:
            source.seek(begin)
            content = await to_thread(source.read, PIECE_BYTES)
            headers = {"Content-Type": "application/octet-stream"}
            if size:
                last = begin + len(content) - 1
                headers["Content-Range"] = f"bytes {begin}-{last}/{size}"
            try:
                answer = await client.call(
                    "POST", f"{base}/files", params=query, content=content, headers=headers
                )
            except (ServiceError, ServiceUnreachable) as error:
                failures += 1
                if not _is_passing(error) or failures >= TRIES:
                    raise
                await sleep(RETRY_SECONDS * 2**failures)
                begin = await _received(client, base, name, size)
                continue
            failures = 0
            advance(len(content))
            begin += len(content)
            if answer["files"]:
                for each in answer.get("left_out", []):
                    leave_out(each["name"], each["reason"])
                return list(answer["files"])


def sent_name(file: Path) -> str:
    """The name of a file for the service; escapes replace bytes that are not UTF-8."""
    return os.fsencode(file.name).decode("utf-8", "backslashreplace")


async def _received(client: AsyncConnection, base: str, name: str, size: int) -> int:
    """The offset at which to resume.

    It is at most the size minus one, so that at least one more request is sent.
    """
    try:
        parts = await client.listing(f"{base}/uploads")
    except ServiceUnreachable:  # the next request reports the error
        return 0
    have = next((int(part["received"]) for part in parts if part["name"] == name), 0)
    return max(0, min(have, size - 1))


def _is_passing(error: ServiceError | ServiceUnreachable) -> bool:
    if isinstance(error, ServiceError):
        code = error.details.get("code")
        return error.status_code in (408, *RETRIED) or code in ("upload_offset", "upload_busy")
    return True
