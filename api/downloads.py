"""Downloads of files, and of archives that are made while they are sent.

All downloads support ranges (RFC 9110, section 14).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Protocol

from starlette.concurrency import iterate_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import FileResponse, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from api.errors import Problem, problem_response

ONE_RANGE = re.compile(r"bytes=(\d{1,15})?-(\d{1,15})?")


class FileDownload(FileResponse):
    """A response that sends a file or a range of it. Refuses an invalid range with a problem."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the file, the requested range, or a problem."""
        refusal: Problem | None = None

        async def watch(message: Message) -> None:
            nonlocal refusal
            if message["type"] == "http.response.start" and message["status"] in (400, 416):
                content_range = Headers(raw=message["headers"]).get("content-range")
                refusal = _refusal(message["status"], content_range)
            if refusal is None:
                await send(message)

        await super().__call__(scope, receive, watch)
        if refusal is not None:
            await problem_response(refusal)(scope, receive, send)


class Archive(Protocol):
    """An archive of known size that is made while it is read."""

    def __len__(self) -> int:
        """Size of the archive in bytes."""
        ...

    def __iter__(self) -> Iterator[bytes]:
        """The archive in blocks."""
        ...


class ArchiveDownload(StreamingResponse):
    """An archive that is made while it is sent.

    The bytes of an archive depend only on the files, so a download can resume: the bytes before the
    range are made but not sent.
    """

    def __init__(
        self,
        archive: Archive,
        *,
        file_name: str,
        etag: str,
        headers: Mapping[str, str],
        media_type: str = "application/zip",
    ) -> None:
        """The response to a request with these headers.

        Raises:
            Problem: 400 or 416 if the range is invalid.
        """
        size = len(archive)
        begin, end = 0, size
        given = headers.get("range")
        if given is not None and headers.get("if-range", etag) == etag:
            begin, end = read_range(given, size)
        sent = {
            "Content-Length": str(end - begin),
            "Content-Disposition": f'attachment; filename="{file_name}"',
            "Accept-Ranges": "bytes",
            "ETag": etag,
        }
        is_part = (begin, end) != (0, size)
        if is_part:
            sent["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
        super().__init__(
            iterate_in_threadpool(_cut(iter(archive), begin, end)),
            206 if is_part else 200,
            sent,
            media_type=media_type,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the archive; for HEAD only the headers."""
        if scope["method"] != "HEAD":
            await super().__call__(scope, receive, send)
            return
        headers = self.raw_headers
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def read_range(given: str, size: int) -> tuple[int, int]:
    """The position of the first byte of a single range, and the position after its last byte.

    Raises:
        Problem: 400 if `given` is not a single range, 416 if the range is outside of the file.
    """
    match = ONE_RANGE.fullmatch(given.strip())
    if match is None or match[0] == "bytes=-":
        raise _refusal(400, None)
    if match[1] is None:
        begin, end = max(0, size - int(match[2])), size
    else:
        begin, end = int(match[1]), size if match[2] is None else min(int(match[2]) + 1, size)
    if begin >= size or begin >= end:
        raise _refusal(416, f"bytes */{size}")
    return begin, end


def _refusal(status: int, content_range: str | None) -> Problem:
    if status == 416:
        size = (content_range or "").removeprefix("bytes */")
        headers = {"Content-Range": content_range or "bytes */*"}
        detail = f"Range is outside of the file, which has {size} bytes"
        return Problem(416, "range_outside", detail, headers=headers)
    detail = (
        "the Range header is not valid; send one range, `bytes=BEGIN-LAST`, in which both "
        "positions count from 0"
    )
    return Problem(400, "range_invalid", detail)


def _cut(blocks: Iterator[bytes], begin: int, end: int) -> Iterator[bytes]:
    """The bytes from `begin` up to `end` of a stream."""
    at = 0
    for block in blocks:
        first, last = max(begin - at, 0), min(end - at, len(block))
        at += len(block)
        if first < last:
            yield block[first:last]
        if at >= end:
            return
