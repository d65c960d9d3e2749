"""Downloads a checkpoint: resumes partial transfers, and keeps no file with a wrong hash."""

import asyncio
import hashlib
import os
import shutil
from asyncio import to_thread
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import httpx2 as httpx

from babylm.client import wire
from babylm.client._async.connection import RETRIED, AsyncConnection
from babylm.client.errors import InvalidUsage, ServiceError, TransferFailed
from babylm.client.folders import file_in_path
from babylm.client.paths import path_part

PART_SUFFIX = ".part"
TRIES = 6
"""Maximum number of consecutive connections that break before a byte arrives."""
RETRY_SECONDS = 0.5

Advance = Callable[[int], None]
"""A function that is called with the number of bytes that arrived since the last call.

The number is negative if a partial file was discarded."""


async def download_checkpoint(
    client: AsyncConnection,
    job_id: str,
    checkpoint: wire.Checkpoint,
    output: Path,
    *,
    replace: bool = False,
    advance: Advance = lambda _: None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> list[Path]:
    """Fetches every file of the checkpoint into the folder `output` and verifies its hash.

    Skips files that exist with the right content, and resumes partial transfers.

    Raises:
        InvalidUsage: If `output` is a file, or if `replace` is False and the folder has a file
            of the checkpoint with other content. Nothing is written then.
        TransferFailed: If a file cannot be fetched, or arrives with the wrong content.
    """
    await check_output(checkpoint, output, replace=replace)
    base = f"/v1/jobs/{job_id}/checkpoints/{path_part(checkpoint['name'], 'checkpoint')}/files/"
    return await download_files(
        client, base, checkpoint["files"], output, advance=advance, sleep=sleep
    )


async def check_output(checkpoint: wire.Checkpoint, output: Path, *, replace: bool) -> None:
    """Checks that a download of the checkpoint into `output` overwrites no file of the user.

    Partial files of an earlier call, and files that are not in the checkpoint, do not matter.

    Raises:
        InvalidUsage: If `output` is a file, or if `replace` is False and the folder has a file
            of the checkpoint with other content.
    """
    if (file := file_in_path(output)) is not None:
        raise InvalidUsage(
            f"{file} is a file, and a checkpoint is a folder of files",
            hint="Name a folder, new or existing: -o FOLDER.",
        )
    others = []
    for entry in checkpoint["files"] if not replace else ():
        target = output / inside(entry["path"])
        is_taken = os.path.lexists(target) or file_in_path(target.parent) is not None
        if is_taken and not await _is_whole(target, entry):
            others.append(entry["path"])
    if others:
        raise InvalidUsage(
            f"{output} has files of other content that the checkpoint {checkpoint['name']!r} would "
            f"overwrite: {', '.join(others)}. Nothing was written",
            hint="Name another folder: -o FOLDER. To overwrite these files, use --replace (in "
            "Python: replace=True).",
        )


async def download_files(
    client: AsyncConnection,
    base: str,
    files: Iterable[wire.CheckpointFile],
    output: Path,
    *,
    advance: Advance = lambda _: None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> list[Path]:
    """Fetches files below the path `base` into the folder `output` and verifies their hashes.

    Skips files that exist with the right content, and resumes partial transfers. A file with the
    same content as an earlier file becomes a hard link to it.

    Raises:
        TransferFailed: If a file cannot be fetched, or arrives with the wrong content.
    """
    paths = []
    first: dict[str, Path] = {}
    for file in files:
        target = output / inside(file["path"])
        target.parent.mkdir(parents=True, exist_ok=True)
        if await _is_whole(target, file):
            advance(file["size"])
        elif file["sha256"] in first:
            _copy(first[file["sha256"]], target)
            advance(file["size"])
        else:
            await _fetch(
                client, base + quote(file["path"]), file, target, advance=advance, sleep=sleep
            )
        first.setdefault(file["sha256"], target)
        paths.append(target)
    return paths


def _copy(source: Path, target: Path) -> None:
    """Makes `target` a hard link to `source`, or a copy if the file system has no hard links."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def inside(path: str) -> PurePosixPath:
    """Returns `path` as a relative path; refuses a path that leaves the folder.

    The list of files comes from the service and is not trusted.
    """
    pure = PurePosixPath(path)
    if pure.is_absolute() or not pure.parts or ".." in pure.parts or "\\" in path or "\0" in path:
        raise TransferFailed(f"the service names a file outside the checkpoint: {path!r}")
    return pure


async def _fetch(
    client: AsyncConnection,
    url: str,
    file: wire.CheckpointFile,
    target: Path,
    *,
    advance: Advance,
    sleep: Callable[[float], Awaitable[None]],
) -> None:
    part = target.with_name(target.name + PART_SUFFIX)
    resumed = part.exists()
    await _receive(client, url, file, part, advance=advance, sleep=sleep)
    if await to_thread(_hash, part) != file["sha256"] and resumed:
        # The partial file is from an earlier call, and the file on the server has changed since.
        advance(-part.stat().st_size)
        part.unlink()
        await _receive(client, url, file, part, advance=advance, sleep=sleep)
    if await to_thread(_hash, part) != file["sha256"]:
        part.unlink()
        raise TransferFailed(
            f"{file['path']} arrived with the wrong checksum and was discarded",
            hint="Try again; if it happens again, the checkpoint on the server is damaged.",
        )
    with part.open("rb") as written:
        os.fsync(written.fileno())
    part.replace(target)


async def _receive(
    client: AsyncConnection,
    url: str,
    file: wire.CheckpointFile,
    part: Path,
    *,
    advance: Advance,
    sleep: Callable[[float], Awaitable[None]],
) -> None:
    """Fills `part` up to the size of the file, with as many connections as needed."""
    if part.exists() and part.stat().st_size > file["size"]:
        part.unlink()
    have = part.stat().st_size if part.exists() else 0
    advance(have)
    failures = 0
    while have < file["size"] or not part.exists():
        before = have
        try:
            have = await _connection(client, url, part, have, file["size"], advance)
            reason = "the connection ended early"
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            have = part.stat().st_size if part.exists() else 0
        except ServiceError as error:
            if error.status_code not in RETRIED:
                raise
            reason = error.message
        failures = 0 if have > before else failures + 1
        if failures >= TRIES:
            raise TransferFailed(
                f"{file['path']} cannot be fetched: {reason}",
                hint="Try again: the transfer resumes where it stopped.",
            )
        if have < file["size"]:
            await sleep(RETRY_SECONDS * 2**failures)


async def _connection(
    client: AsyncConnection, url: str, part: Path, have: int, size: int, advance: Advance
) -> int:
    """Requests the file from byte `have` on; returns the size of `part` afterwards."""
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    async with client.stream(url, headers=headers) as answer:
        if have and answer.status_code != 206:
            advance(-have)  # the server sends the file from its first byte
            have = 0
        with part.open("r+b" if have else "wb") as output:
            output.seek(have)
            async for block in answer.aiter_raw():  # unbuffered: a lost connection loses no bytes
                output.write(block[: size - have])
                advance(min(len(block), size - have))
                have += min(len(block), size - have)
            output.truncate(have)
    return have


async def _is_whole(path: Path, file: wire.CheckpointFile) -> bool:
    return (
        path.is_file()
        and path.stat().st_size == file["size"]
        and await to_thread(_hash, path) == file["sha256"]
    )


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
