"""Text files that a user names: reads them, and says what is wrong with a file that is not text."""

import re
from pathlib import Path

from babylm.errors import UsageError

UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
"""Bytes that no text has."""


def read_text(path: Path, *, kind: str, hint: str) -> str:
    """The text of a file in UTF-8; a byte order mark is left out.

    Args:
        path: The file.
        kind: What the file must be, for the error: "a spec is YAML or JSON".
        hint: What to do if the file is not text.

    Raises:
        UsageError: If the file cannot be read, or is not text in UTF-8.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8(path, content, error.start, kind=kind, hint=hint) from error
    if "\0" in text:
        raise not_utf8(path, content, 0, kind=kind, hint=hint)
    return text


def not_utf8(path: Path, content: bytes, start: int, *, kind: str, hint: str) -> UsageError:
    """The error about a file that is not text in UTF-8.

    Args:
        path: The file.
        content: Its content.
        start: Position of the first byte that is not UTF-8.
        kind: As for `read_text`.
        hint: As for `read_text`.
    """
    encoding = "UTF-16" if content.startswith(UTF_16_MARKS) else "LATIN1"
    if encoding == "LATIN1" and CONTROL.search(content):
        return UsageError(f"{path} is not a text file; {kind}", hint=hint)
    line = content.count(b"\n", 0, start) + 1
    where = f": line {line} has the byte 0x{content[start]:02x}"
    return UsageError(
        f"{path} is not UTF-8{' but UTF-16' if encoding == 'UTF-16' else where}",
        hint=f"Save the file as UTF-8: iconv -f {encoding} -t UTF-8 {path.name} > {path.name}.utf8",
    )
