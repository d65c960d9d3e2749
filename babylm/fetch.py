"""Downloads a file: resumes partial transfers, verifies the hash, publishes whole files only."""

import hashlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import httpx2 as httpx

from babylm.client.address import Address, local_transport, proxy_errors
from babylm.errors import CommandError, UsageError

PART_SUFFIX = ".part"
TRIES = 6
"""Maximum number of consecutive connections that break before a byte arrives."""
RETRY_SECONDS = 0.5
TIMEOUT = httpx.Timeout(60.0, connect=15.0)
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
"""Hosts that are requested without a proxy, also after a redirect."""
RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Fetched:
    """A file that was downloaded completely."""

    size: int
    sha256: str


def name_in(address: str) -> str:
    """The file name at the end of an address.

    Raises:
        UsageError: If the address is not an HTTP address or does not end with a name.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UsageError(f"{address!r} is not an http:// or https:// address")
    name = PurePosixPath(unquote(parts.path)).name
    if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise UsageError(f"{address} names no file", hint="Name the file to write: -o FILE.")
    return name


def fetch_file(
    address: str,
    target: Path,
    *,
    sha256: str | None = None,
    replace: bool = False,
    advance: Advance = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Fetched:
    """Downloads `address` to the file `target`.

    Resumes a partial transfer if the content on the server is unchanged. If `target` exists and
    has the hash `sha256`, nothing is transferred.

    Raises:
        UsageError: If the address is not an HTTP address, or if `target` is another file and
            `replace` is False.
        CommandError: If the download fails, or the hash of the file is not `sha256`.
    """
    if urlsplit(address).scheme not in ("http", "https"):
        raise UsageError(f"{address!r} is not an http:// or https:// address")
    if target.is_file() and not replace:
        return _existing(target, sha256)
    part = target.with_name(target.name + PART_SUFFIX)
    note = part.with_name(part.name + ".etag")
    with _open_http(address) as http:
        failures = 0
        advance(_size(part))
        while True:
            before = _size(part)
            try:
                if _connection(http, address, part, note, advance):
                    break
                reason = "the connection ended early"
            except httpx.TransportError as error:
                reason = str(error) or type(error).__name__
            failures = 0 if _size(part) > before else failures + 1
            if failures >= TRIES:
                hint = "Run the same command again: the transfer resumes."
                raise CommandError(f"{address} cannot be fetched: {reason}", hint=hint)
            sleep(RETRY_SECONDS * 2**failures)
    return _finish(part, note, target, sha256)


def _existing(target: Path, sha256: str | None) -> Fetched:
    """The file that an earlier call downloaded, known by its hash; another file is refused."""
    if sha256 is not None and (digest := _hash(target)) == sha256.lower():
        return Fetched(_size(target), digest)
    other = "" if sha256 is None else " with another SHA-256"
    raise UsageError(
        f"{target} exists{other}, and the download would overwrite it",
        hint="Name another file: -o FILE. To overwrite this one, use --replace.",
    )


def _open_http(address: str) -> httpx.Client:
    """A client that follows redirects and connects to this machine without a proxy."""
    with proxy_errors(address):
        return httpx.Client(
            timeout=TIMEOUT,
            follow_redirects=True,
            transport=local_transport(Address(address)),
            mounts={f"all://{host}": httpx.HTTPTransport() for host in LOOPBACK_HOSTS},
        )


def _connection(http: httpx.Client, address: str, part: Path, note: Path, advance: Advance) -> bool:
    """Requests the bytes after the end of `part`; True if the file is then complete."""
    have = _size(part)
    etag = note.read_text() if note.is_file() else ""
    headers = {"Accept-Encoding": "identity"}
    if have and etag:
        headers |= {"Range": f"bytes={have}-", "If-Range": etag}
    with http.stream("GET", address, headers=headers) as answer:
        if answer.status_code == 416:  # the partial file is at least as long as the content
            advance(-have)
            part.unlink()
            return False
        if answer.status_code in (429, 500, 502, 503, 504):
            raise httpx.RemoteProtocolError(f"the server answered {answer.status_code}")
        if answer.is_error:
            raise CommandError(f"{address}: the server answered {answer.status_code}")
        match = RANGE.match(answer.headers.get("content-range", ""))
        begin = int(match[1]) if answer.status_code == 206 and match else 0
        if begin != have:
            advance(begin - have)
        length = answer.headers.get("content-length")
        # Only a strong ETag guarantees that the content has the same bytes.
        tag = answer.headers.get("etag", "")
        note.write_text("" if tag.startswith("W/") else tag)
        have = begin
        with part.open("r+b" if part.exists() else "wb") as output:
            output.seek(begin)
            output.truncate()
            for block in answer.iter_raw():
                output.write(block)
                advance(len(block))
                have += len(block)
        return length is None or have == begin + int(length)


def _finish(part: Path, note: Path, target: Path, sha256: str | None) -> Fetched:
    digest = _hash(part)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    note.unlink(missing_ok=True)
    if sha256 is not None and digest != sha256.lower():
        part.unlink()
        raise CommandError(
            f"{target.name} arrived with the SHA-256 {digest}, not {sha256}, and was discarded",
            hint="Check the address and the checksum.",
        )
    size = part.stat().st_size
    part.replace(target)
    return Fetched(size, digest)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
