"""Fetches a checkpoint: resumes what broke off, and keeps nothing whose hash is wrong."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import httpx2 as httpx

from babylm.client import Client, ServiceError
from babylm.errors import CommandError, UsageError
from babylm.wire import Checkpoint, CheckpointFile

PART_SUFFIX = ".part"
TRIES = 6
"""Connections that may break in a row without a single byte in between."""
RETRY_SECONDS = 0.5

Advance = Callable[[int], None]
"""Told how many bytes were gained; a negative number where a part was thrown away."""


def choose_checkpoint(checkpoints: list[Checkpoint], name: str | None) -> Checkpoint:
    """The checkpoint of that name; without one, `last`, or else the one of the latest step.

    Raises:
        CommandError: If there is none.
    """
    if not checkpoints:
        raise CommandError("the job has no checkpoint yet")
    by_name = {checkpoint["name"]: checkpoint for checkpoint in checkpoints}
    if name is not None and name not in by_name:
        raise CommandError(f"no checkpoint {name!r}; there are {', '.join(by_name)}")
    if name is not None:
        return by_name[name]
    return by_name.get("last") or max(checkpoints, key=lambda checkpoint: checkpoint["step"])


def choose_milestones(checkpoints: list[Checkpoint]) -> list[Checkpoint]:
    """The milestones by words seen, by step, and then `last` if there is one.

    Raises:
        CommandError: If there is no milestone.
    """
    found = [checkpoint for checkpoint in checkpoints if checkpoint["kind"] == "milestone"]
    if not found:
        raise CommandError(
            "the job has no milestone",
            hint="Milestones are kept for the tracks strict-small and strict, from 1M words on.",
        )
    last = [checkpoint for checkpoint in checkpoints if checkpoint["name"] == "last"]
    return sorted(found, key=lambda checkpoint: checkpoint["step"]) + last


def download_checkpoint(
    client: Client,
    job_id: str,
    checkpoint: Checkpoint,
    output: Path,
    *,
    advance: Advance = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Path]:
    """Every file of the checkpoint below `output`, whole and verified.

    A file that is there already with the right content is left alone; a part that an earlier call
    left behind is gone on with.

    Raises:
        CommandError: If a file cannot be had, or comes with the wrong content twice.
    """
    if output.exists() and not output.is_dir():
        raise UsageError(
            f"{output} is a file, and a checkpoint is a folder of files",
            hint="Name a folder, new or existing: -o FOLDER.",
        )
    base = f"/v1/jobs/{job_id}/checkpoints/{quote(checkpoint['name'], safe='')}/files/"
    paths = []
    for file in checkpoint["files"]:
        target = output / _inside(file["path"])
        target.parent.mkdir(parents=True, exist_ok=True)
        if _is_whole(target, file):
            advance(file["size"])
        else:
            _fetch(client, base + quote(file["path"]), file, target, advance=advance, sleep=sleep)
        paths.append(target)
    return paths


def _inside(path: str) -> PurePosixPath:
    """The path, if it stays below the folder it is joined to: the list comes from the network."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or not pure.parts or ".." in pure.parts or "\\" in path or "\0" in path:
        raise CommandError(f"the service names a file outside the checkpoint: {path!r}")
    return pure


def _fetch(
    client: Client,
    url: str,
    file: CheckpointFile,
    target: Path,
    *,
    advance: Advance,
    sleep: Callable[[float], None],
) -> None:
    part = target.with_name(target.name + PART_SUFFIX)
    resumed = part.exists()
    _receive(client, url, file, part, advance=advance, sleep=sleep)
    if _hash(part).hexdigest() != file["sha256"] and resumed:
        # What an earlier call left behind was not the beginning of this file.
        advance(-part.stat().st_size)
        part.unlink()
        _receive(client, url, file, part, advance=advance, sleep=sleep)
    if _hash(part).hexdigest() != file["sha256"]:
        part.unlink()
        raise CommandError(
            f"{file['path']} arrived with the wrong checksum and was thrown away",
            hint="Run the command again; if it stays so, the checkpoint on the server is damaged.",
        )
    with part.open("rb") as written:
        os.fsync(written.fileno())
    part.replace(target)


def _receive(
    client: Client,
    url: str,
    file: CheckpointFile,
    part: Path,
    *,
    advance: Advance,
    sleep: Callable[[float], None],
) -> None:
    """Fills `part` up to the size of the file, with as many connections as it takes."""
    if part.exists() and part.stat().st_size > file["size"]:
        part.unlink()
    have = part.stat().st_size if part.exists() else 0
    advance(have)
    failures = 0
    while have < file["size"] or not part.exists():
        before = have
        try:
            have = _connection(client, url, part, have, file["size"], advance)
            reason = "the connection ended early"
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            have = part.stat().st_size if part.exists() else 0
        except ServiceError as error:
            if error.code not in (429, 500, 502, 503, 504):
                raise
            reason = error.message
        failures = 0 if have > before else failures + 1
        if failures >= TRIES:
            raise CommandError(
                f"{file['path']} cannot be fetched: {reason}",
                hint="Run the same command again: it goes on where it stopped.",
            )
        if have < file["size"]:
            sleep(RETRY_SECONDS * 2**failures)


def _connection(
    client: Client, url: str, part: Path, have: int, size: int, advance: Advance
) -> int:
    """One request from byte `have` on; returns how many bytes `part` holds then."""
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with client.stream(url, headers=headers) as answer:
        if have and answer.status_code != 206:
            advance(-have)  # the server sends it all again
            have = 0
        with part.open("r+b" if have else "wb") as output:
            output.seek(have)
            for block in answer.iter_raw():  # as it arrives: nothing is held back if it breaks
                output.write(block[: size - have])
                advance(min(len(block), size - have))
                have += min(len(block), size - have)
            output.truncate(have)
    return have


def _is_whole(path: Path, file: CheckpointFile) -> bool:
    return (
        path.is_file()
        and path.stat().st_size == file["size"]
        and _hash(path).hexdigest() == file["sha256"]
    )


def _hash(path: Path) -> "hashlib._Hash":
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256")
