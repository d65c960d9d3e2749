"""Sends files to the service in pieces, and goes on where an earlier call stopped."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from babylm.client import Client, ServiceError, ServiceUnreachable
from babylm.errors import UsageError
from core.corpus.names import TEXT_SUFFIXES, reason_left_out, shown_name, text_stem

PIECE_BYTES = 8 << 20
TRIES = 6
"""Pieces that may fail in a row without a single one in between."""
RETRY_SECONDS = 0.5
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")

Advance = Callable[[int], None]


def files_to_send(path: Path) -> list[Path]:
    """The file, or the text files of the folder, by name.

    Raises:
        UsageError: If there is none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"{path} is not there")
    files = [each for each in sorted(path.iterdir()) if each.is_file() and text_stem(each.name)]
    if not files:
        accepted = ", ".join(TEXT_SUFFIXES)
        raise UsageError(f"{path} has no text file; accepted: {accepted}")
    return files


def skipped_files(path: Path) -> list[tuple[str, str]]:
    """The files of a folder that are not sent, with the reason."""
    if not path.is_dir():
        return []
    names = [each.name for each in sorted(path.iterdir()) if text_stem(each.name) is None]
    return [(shown_name(name), reason_left_out(name)) for name in names]


def upload_file(
    client: Client,
    dataset: str,
    file: Path,
    *,
    folder: str | None,
    replace: bool,
    advance: Advance,
    leave_out: Callable[[str, str], None] = lambda *_: None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Sends one file; returns the names of what the service made of it.

    `leave_out` is called with name and reason of each member of an archive that is not used.

    Raises:
        CommandError: If the service refuses it, or does not answer any more.
    """
    base = f"/v1/datasets/{quote(dataset, safe='')}"
    size = file.stat().st_size
    with file.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
        name = shown_name(file.name)
        query: dict[str, str] = {"name": name, "sha256": digest}
        query |= {"folder": folder} if folder else {}
        query |= {"replace": "true"} if replace else {}
        begin, failures = _received(client, base, name, size), 0
        advance(begin)
        while True:
            source.seek(begin)
            content = source.read(PIECE_BYTES)
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


def _received(client: Client, base: str, name: str, size: int) -> int:
    """Where to go on: what is there already, but for a byte, so that one piece is left to send."""
    try:
        parts = client.listing(f"{base}/uploads")
    except ServiceUnreachable:  # the next piece tells
        return 0
    have = next((int(part["received"]) for part in parts if part["name"] == name), 0)
    return max(0, min(have, size - 1))


def _is_passing(error: ServiceError | ServiceUnreachable) -> bool:
    if isinstance(error, ServiceError):
        code = error.details.get("code")
        return error.code in (408, 429, 502, 503, 504) or code in ("upload_offset", "upload_busy")
    return True
