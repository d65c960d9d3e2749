"""Recognizes, by their first bytes, files that are named like a text but have other content."""

import re
from pathlib import Path

from core.errors import CorpusNotText

HEAD_BYTES = 1024
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""First bytes of a Git LFS pointer (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md)."""
ANNEX_POINTER = re.compile(rb"(?:\.\./)*(?:\.git/annex|/annex)/objects/")
WEB_PAGE = re.compile(rb"<(?:!doctype html|html|head|body)\b", re.IGNORECASE)
MAGIC = (
    (b"PK\x03\x04", "a zip archive", "Unpack it."),
    (b"\x1f\x8b", "a gzip file", "Unpack it, for example with gunzip."),
    (b"\xfd7zXZ\x00", "an xz file", "Unpack it, for example with unxz."),
    (b"BZh", "a bzip2 file", "Unpack it, for example with bunzip2."),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "Unpack it, for example with unzstd."),
    (b"%PDF-", "a PDF", "Extract its text."),
    (b"{\\rtf", "an RTF document", "Save it as plain text."),
    (b"PAR1", "a Parquet file", "Write its text column to a .txt file."),
)


def foreign_content(head: bytes) -> tuple[str, str] | None:
    """The kind of a file that begins with these bytes, and a remedy; None if it may be text."""
    if head.startswith(LFS_POINTER):
        return "a Git LFS pointer, not the text itself", "Fetch the text with `git lfs pull`."
    if ANNEX_POINTER.match(head):
        return "a git-annex pointer, not the text itself", "Fetch the text with `git annex get`."
    for magic, name, remedy in MAGIC:
        # Text may also begin with the letters of a magic number, such as BZh. In a bzip2 file, the
        # bytes after them are not valid text.
        if head.startswith(magic) and (not magic.isalnum() or not _is_text(head)):
            return name, remedy
    if WEB_PAGE.match(head.removeprefix(b"\xef\xbb\xbf").lstrip()):
        remedy = "Download the text itself; a page that asks to log in is often saved in its place."
        return "an HTML page", remedy
    return None


def require_text(path: Path) -> None:
    """Refuses a file that is not text.

    Raises:
        CorpusNotText: If the file is not text; the message names the file and its kind.
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        found = foreign_content(file.read(HEAD_BYTES))
    if found is not None:
        raise CorpusNotText(f"{path} is {found[0]}", hint=found[1])


def _is_text(head: bytes) -> bool:
    try:
        head[: HEAD_BYTES - 3].decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in head
