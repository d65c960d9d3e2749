"""Reads the beginning of a text without pyarrow, for previews, estimates and checks of a spec."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from core.corpus.content import HEAD_BYTES, foreign_content, require_text
from core.corpus.formats.compression import Stream, decompressed, open_stream
from core.corpus.formats.rows import TEXT_READERS, BadRow, json_rows
from core.corpus.formats.tables import pyarrow_missing
from core.corpus.names import Format
from core.corpus.sources import SourceFile
from core.errors import CorpusDamaged, CorpusNotText

TABLE_MAGIC = {".parquet": (b"PAR1",), ".arrow": (b"ARROW1", b"\xff\xff\xff\xff")}
"""First bytes of Parquet and Arrow files: https://parquet.apache.org/docs/file-format/ and
https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format."""


@dataclass(frozen=True)
class Head:
    """The beginning of a text."""

    content: bytes
    share: float
    """Approximate share of the text that is in `content`. The share may be 1 although the text
    continues, because decoders read ahead."""
    is_whole: bool
    """Whether `content` is the whole text."""


class _Counted:
    """A stream that records whether its end was reached."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.is_at_end = False

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(min(size, HEAD_BYTES * 16))
        self.is_at_end = not data
        return data


def text_head(file: SourceFile, max_bytes: int) -> Head | None:
    """The first `max_bytes` of the text; None if only pyarrow can read the file.

    Rows are not cut, so the content may exceed `max_bytes`.

    Raises:
        RunError: If the file cannot be read.
    """
    if file.format.suffix in TABLE_MAGIC:
        return None
    with _opened(file) as (stream, position):
        if file.format.suffix in TEXT_READERS:
            content = _row_text(file, stream, max_bytes)
        else:
            content = b""
            while len(content) < max_bytes and (block := stream.read(max_bytes - len(content))):
                content += block
        if stream.is_at_end:
            return Head(content, share=1.0, is_whole=True)
        share = min(1.0, max(1, position()) / max(1, file.bytes))
        return Head(content, share=share, is_whole=False)


def require_readable(file: SourceFile) -> None:
    """Checks quickly whether a file can be read, without reading all of it.

    Checks the first bytes, the column of JSON lines and CSV files, and whether the packages that
    read the file are installed.

    Raises:
        RunError: If a check fails; the message names the file and what is wrong.
    """
    if file.format.is_plain:
        require_text(file.path)
        return
    require_format(file.path, file.format)
    if file.format.suffix in TEXT_READERS:
        with _opened(file) as (stream, _):
            next(TEXT_READERS[file.format.suffix](stream, file.path, file.rows.column), None)


def require_format(path: Path, form: Format) -> None:
    """Checks that the first bytes of a file match the format that its name gives.

    Raises:
        CorpusDamaged, CorpusNotText: If they do not match.
        CorpusReaderMissing: If the package that reads the file is not installed.
    """
    with open_stream(path, form.compression) as stream:
        begin = stream.read(HEAD_BYTES)
    if form.suffix in TABLE_MAGIC:
        if not begin.startswith(TABLE_MAGIC[form.suffix]):
            raise CorpusDamaged(f"{path} does not begin as a {form.suffix} file does")
        if find_spec("pyarrow") is None:
            raise pyarrow_missing(path)
    elif (found := foreign_content(begin)) is not None:
        raise CorpusNotText(f"{path} is {found[0]}", hint=found[1])
    if form.suffix == ".jsonl":
        with open_stream(path, form.compression) as stream:
            _, row = next(json_rows(stream, path), ("", {}))
        if isinstance(row, BadRow):
            raise CorpusDamaged(f"{path} is no file of JSON lines: {row.where} {row.reason}")


def _row_text(file: SourceFile, stream: Stream, max_bytes: int) -> bytes:
    end, content = "\n" if file.rows.mode == "lines" else "\n\n", b""
    for row in TEXT_READERS[file.format.suffix](stream, file.path, file.rows.column):
        if not isinstance(row, BadRow):
            content += (row.strip("\n") + end).encode(errors="replace")
        if len(content) >= max_bytes:
            break
    return content


@contextmanager
def _opened(file: SourceFile) -> Iterator[tuple[_Counted, Callable[[], int]]]:
    """The decompressed stream, and a function that returns the position in the file itself."""
    with file.path.open("rb") as raw:
        yield _Counted(decompressed(file.path, raw, file.format.compression)), raw.tell
