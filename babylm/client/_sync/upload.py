# Generated from babylm/client/_async by `python -m babylm.generate_sync`. Do not edit.
"""Sends files to the service in pieces; resumes partial transfers."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from babylm.client._inline import to_thread
from babylm.client._sync.connection import RETRIED, Connection
from babylm.client.errors import InvalidUsage, ServiceError, ServiceUnreachable
from core.corpus.names import ACCEPTED, reason_left_out, shown_name, text_stem

PIECE_BYTES = 8 << 20
TRIES = 6
"""Consecutive pieces that may fail."""
RETRY_SECONDS = 0.5
SPLITS_FILE = "dataset_dict.json"
"""Of a Hugging Face dataset with splits, each in a folder of its name."""
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")

Advance = Callable[[int], None]
LeaveOut = Callable[[str, str], None]
"""Called with name and reason of each file that is not used."""


def files_to_send(path: Path, folder: str | None = None) -> dict[Path, str]:
    """The file, or the text files of the folder and its subfolders, with the names to send.

    A name that occurs in several subfolders is preceded by those of its folders.

    Args:
        path: A file or a folder.
        folder: Restricts the files of a folder to those of subfolders of this name.

    Raises:
        InvalidUsage: If there is none.
    """
    if path.is_file():
        return {path: path.name}
    if not path.is_dir():
        raise InvalidUsage(f"{path} does not exist")
    if folder is None and (path / SPLITS_FILE).is_file():
        splits = ", ".join(sorted(each.name for each in path.iterdir() if each.is_dir()))
        raise InvalidUsage(
            f"{path} is a saved dataset with several splits ({splits}): name the one to send with "
            "--folder"
        )
    files = [each for each in _all_files(path) if text_stem(each.name)]
    if folder is not None:
        files = [each for each in files if each.parent.name == folder]
    if not files:
        where = f" in a folder {folder}" if folder else ""
        raise InvalidUsage(f"{path} has no text file{where}; accepted: {ACCEPTED}")
    times = Counter(text_stem(each.name) for each in files)
    return {
        each: each.name
        if times[text_stem(each.name)] == 1
        else "-".join(each.relative_to(path).parts)
        for each in files
    }


def skipped_files(path: Path, folder: str | None = None) -> list[tuple[str, str]]:
    """The files of a folder that are not sent, with the reason."""
    if not path.is_dir():
        return []
    skipped = []
    for each in _all_files(path):
        shown = shown_name(str(each.relative_to(path)))
        if text_stem(each.name) is None:
            skipped.append((shown, reason_left_out(each.name)))
        elif folder not in (None, each.parent.name):
            skipped.append((shown, f"is not in a folder {folder}"))
    return skipped


def _all_files(path: Path) -> list[Path]:
    return sorted(each for each in path.rglob("*") if each.is_file())


def upload_file(
    client: Connection,
    dataset: str,
    file: Path,
    *,
    name: str,
    folder: str | None,
    replace: bool,
    advance: Advance,
    leave_out: LeaveOut,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Sends one file under `name`; returns the names of the files that the service created.

    `leave_out` is called for each member of an archive that is not used.

    Raises:
        ServiceError: If the service refuses it.
        ServiceUnreachable: If the service does not answer any more.
    """
    base = f"/v1/datasets/{quote(dataset, safe='')}"
    size = file.stat().st_size
    with file.open("rb") as source:
        digest = (to_thread(hashlib.file_digest, source, "sha256")).hexdigest()
        name = shown_name(name)
        query: dict[str, str] = {"name": name, "sha256": digest}
        query |= {"folder": folder} if folder else {}
        query |= {"replace": "true"} if replace else {}
        begin, failures = _received(client, base, name, size), 0
        advance(begin)
        while True:
            source.seek(begin)
            content = to_thread(source.read, PIECE_BYTES)
            headers = {"Content-Type": "application/octet-stream"}
            if size:
                last = begin + len(content) - 1
                headers["Content-Range"] = f"bytes {begin}-{last}/{size}"
            try:
                answer = client.call(
                    "POST", f"{base}/files", params=query, content=content, headers=headers
                )
            except (ServiceError, ServiceUnreachable) as error:
                failures += 1
                if not _is_passing(error) or failures >= TRIES:
                    raise
                sleep(RETRY_SECONDS * 2**failures)
                begin = _received(client, base, name, size)
                continue
            failures = 0
            advance(len(content))
            begin += len(content)
            if answer["files"]:
                for each in answer.get("left_out", []):
                    leave_out(each["name"], each["reason"])
                return list(answer["files"])


def _received(client: Connection, base: str, name: str, size: int) -> int:
    """The offset to resume at: one byte less than the size at most, so that a piece is sent."""
    try:
        parts = client.listing(f"{base}/uploads")
    except ServiceUnreachable:  # the next piece tells
        return 0
    have = next((int(part["received"]) for part in parts if part["name"] == name), 0)
    return max(0, min(have, size - 1))


def _is_passing(error: ServiceError | ServiceUnreachable) -> bool:
    if isinstance(error, ServiceError):
        code = error.details.get("code")
        return error.status_code in (408, *RETRIED) or code in ("upload_offset", "upload_busy")
    return True
