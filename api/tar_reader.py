"""Reads tar archives (ustar, GNU and pax) as streams, in bounded memory and time.

The standard library's `tarfile` reads the sparse maps and pax headers of a hostile archive without
limits, with regular expressions of quadratic cost (CVE-2024-6232). It also treats a damaged header
as the end of the archive, without an error.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

BLOCK_BYTES = 512
SKIP_BYTES = 1 << 18
MAX_HEADER_BYTES = 1 << 20
"""Maximum size of an extended header in bytes. The names and pax records of real archives are much
shorter."""
MAX_SIZE_DIGITS = 20
MAX_GZIP_MEMBERS = 100_000
"""Maximum number of gzip members. Empty members take time but contain no bytes, so a limit on bytes
does not stop them."""
REGULAR, DIRECTORY = (b"0", b"\0", b"7"), b"5"
LONG_NAME, LONG_LINK = b"L", b"K"
PAX, PAX_GLOBAL = (b"x", b"X"), b"g"
SPARSE_RECORD = b"GNU.sparse."


class Damaged(Exception):
    """The archive does not follow its format."""


class Source(Protocol):
    """The bytes of an archive."""

    def read(self, size: int, /) -> bytes:
        """At most `size` of the next bytes; none at the end."""


@dataclass(frozen=True)
class Entry:
    """A member of an archive."""

    name: str
    size: int
    is_regular: bool
    is_directory: bool


class Gzip:
    """The decompressed bytes of a gzip file, which has one or more members (RFC 1952)."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._waiting = b""
        self._stream = _gzip_stream()
        self._members = 0
        self._is_between = False
        """True after the trailer of a member, where the file may end."""

    def read(self, size: int, /) -> bytes:
        """At most `size` of the next bytes.

        Raises:
            Damaged: If the file is truncated or has too many members.
            zlib.error: If the file is corrupt.
        """
        while True:
            data = self._waiting or self._source.read(SKIP_BYTES)
            if not data:
                if self._is_between:
                    return b""
                raise Damaged("the compressed data end too early")
            if self._is_between and not data.strip(b"\0"):
                self._waiting = b""  # padding after the last member
                continue
            self._is_between = False
            found = self._stream.decompress(data, size)
            self._waiting = self._stream.unconsumed_tail
            if self._stream.eof:
                self._waiting = self._stream.unused_data
                self._end_member()
            if found:
                return found

    def _end_member(self) -> None:
        self._members += 1
        if self._members > MAX_GZIP_MEMBERS:
            raise Damaged(f"the archive has more than {MAX_GZIP_MEMBERS:,} gzip members")
        self._stream, self._is_between = _gzip_stream(), True


class TarReader:
    """Iterates over the members of an archive; `read` gives the content of the current member."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._left = 0
        """Number of bytes of the current member that were not read."""
        self._padding = 0
        self._global: dict[bytes, bytes] = {}

    def __iter__(self) -> Iterator[Entry]:
        """Yields each member.

        Raises:
            Damaged: If a header is invalid or the archive is truncated.
        """
        is_first = True
        while True:
            self._skip()
            header = self._take(BLOCK_BYTES, may_end=not is_first)
            if not header.strip(b"\0"):
                return
            is_first = False
            entry = self._entry(header)
            if entry is not None:
                yield entry

    def read(self, size: int, /) -> bytes:
        """At most `size` of the next bytes of the current member.

        Raises:
            Damaged: If the archive ends before the member does.
        """
        if not self._left:
            return b""
        data = self._source.read(min(size, self._left))
        if not data:
            raise Damaged("it is truncated")
        self._left -= len(data)
        return data

    def _skip(self) -> None:
        while self._left:
            self.read(SKIP_BYTES)
        self._take(self._padding)
        self._padding = 0

    def _take(self, count: int, *, may_end: bool = False) -> bytes:
        """Exactly `count` bytes; zeros if `may_end` is True and the archive ends here."""
        data = bytearray()
        while len(data) < count:
            block = self._source.read(count - len(data))
            if not block:
                if may_end and not data:
                    return bytes(count)
                raise Damaged("it is truncated")
            data += block
        return bytes(data)

    def _entry(self, header: bytes) -> Entry | None:
        """The member that follows this header; None if this is a global header.

        Extended headers may precede the header of the member.
        """
        long_name: bytes | None = None
        records: dict[bytes, bytes] = {}
        while True:
            _check_sum(header)
            kind, size = header[156:157], _number(header[124:136])
            if kind not in (LONG_NAME, LONG_LINK, *PAX, PAX_GLOBAL):
                break
            content = self._extension(size)
            if kind == LONG_NAME:
                long_name = content.partition(b"\0")[0]
            elif kind in PAX:
                records |= _pax_records(content)
            elif kind == PAX_GLOBAL:
                self._global |= _pax_records(content)
                if long_name is None and not records:
                    return None
            header = self._take(BLOCK_BYTES)
        records = self._global | records
        name = records.get(b"path", _name(header) if long_name is None else long_name)
        if kind in REGULAR and b"size" in records:
            size = _decimal(records[b"size"])
        is_directory = kind == DIRECTORY or (kind in REGULAR and name.endswith(b"/"))
        is_sparse = any(key.startswith(SPARSE_RECORD) for key in records)
        self._left, self._padding = size, -size % BLOCK_BYTES
        return Entry(
            name=name.decode("utf-8", "surrogateescape"),
            size=size,
            is_regular=kind in REGULAR and not is_directory and not is_sparse,
            is_directory=is_directory,
        )

    def _extension(self, size: int) -> bytes:
        if size > MAX_HEADER_BYTES:
            raise Damaged(f"it has a header of {size:,} bytes")
        content = self._take(size)
        self._take(-size % BLOCK_BYTES)
        return content


def _gzip_stream() -> "zlib._Decompress":
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)


def _check_sum(header: bytes) -> None:
    """Compares the checksum with the sum of all bytes; the checksum's own bytes count as spaces."""
    rest = header[:148] + header[156:]
    unsigned = 256 + sum(rest)
    signed = unsigned - 256 * sum(byte > 127 for byte in rest)  # some old programs write this sum
    if _number(header[148:156]) not in (unsigned, signed):
        raise Damaged("a header has a wrong checksum")


def _number(field: bytes) -> int:
    """A number of a header: octal digits, or base 256 after a byte of 0x80 (GNU)."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0") or b"0"
    if digits.strip(b"01234567"):
        raise Damaged("a header has an invalid number")
    return int(digits, 8)


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > MAX_SIZE_DIGITS:
        raise Damaged("a pax header has an invalid size")
    return int(text)


def _name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _pax_records(content: bytes) -> dict[bytes, bytes]:
    """The records of a pax header, lines of `LENGTH KEY=VALUE`, parsed in linear time."""
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(content) and content[at]:
        space = content.find(b" ", at, at + MAX_SIZE_DIGITS)
        length = _decimal(content[at:space]) if space > at else 0
        key, equals, value = content[space + 1 : at + length].partition(b"=")
        if at + length > len(content) or not (key and equals and value.endswith(b"\n")):
            raise Damaged("a pax header has an invalid record")
        records[key] = value[:-1]
        at += length
    return records
