"""The files of the dashboard. Text is sent compressed to clients that accept gzip."""

import gzip
import os
from functools import lru_cache
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

COMPRESSED_SUFFIXES = (".html", ".js", ".css", ".svg", ".txt")
"""Suffixes of text files. The other files, such as fonts, are compressed already."""


class CompressedFiles(StaticFiles):
    """Static files. Text files are compressed once, and the result is kept in memory."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """The response for a file: 304 if the client has it, compressed text, or the file."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        if Path(full_path).suffix not in COMPRESSED_SUFFIXES:
            return response
        response.headers["Vary"] = "Accept-Encoding"
        headers = Headers(scope=scope)
        if not isinstance(response, FileResponse) or "range" in headers:
            return response
        if "gzip" not in headers.get("accept-encoding", ""):
            return response
        kept = {
            "ETag": f"W/{response.headers['etag']}",  # weak: the plain file has the same tag
            "Last-Modified": response.headers["last-modified"],
            "Vary": "Accept-Encoding",
            "Content-Encoding": "gzip",
        }
        content = _compressed(str(full_path), stat_result.st_mtime_ns)
        return Response(content, status_code, headers=kept, media_type=response.media_type)


@lru_cache(maxsize=64)
def _compressed(path: str, changed_at: int) -> bytes:
    del changed_at
    return gzip.compress(Path(path).read_bytes(), mtime=0)
