"""Writes a Git repository with one branch per revision, without the `git` program.

Each object is a file of its own (a "loose" object): it is compressed with zlib, and its name is the
SHA-1 of header and content (Git user manual, "Object storage format"). As in every repository of
the Hugging Face Hub, the commits contain Git LFS pointers for large files. The content of a large
file is in `lfs/objects` of the Git directory.
"""

import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path

AUTHOR = "babylm <babylm@localhost>"
CONFIG = """\
[core]
\trepositoryformatversion = 0
\tfilemode = false
\tbare = true
"""
REGULAR_FILE = b"100644"


def begin_repository(folder: Path) -> None:
    """Creates an empty bare repository with `main` as its default branch."""
    for name in ("objects", "refs/heads", "refs/tags"):
        (folder / name).mkdir(parents=True)
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    (folder / "config").write_text(CONFIG)


def blob_id(content: bytes) -> str:
    """The id of a blob, 40 hexadecimal digits."""
    return hashlib.sha1(_framed(b"blob", content), usedforsecurity=False).hexdigest()


def lfs_pointer(sha256: str, size: int) -> bytes:
    """The content of a pointer file (Git LFS specification, version 1)."""
    return (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
    ).encode()


def lfs_object(folder: Path, sha256: str) -> Path:
    """The path at which a repository keeps the content of a large file."""
    return folder / "lfs" / "objects" / sha256[:2] / sha256[2:4] / sha256


def commit_files(
    folder: Path, files: Mapping[str, bytes], *, message: str, seconds: int, parent: str | None
) -> str:
    """Writes a commit of files in one folder; returns its id.

    Args:
        folder: The Git directory.
        files: Content by name; names have no slash.
        message: First line of the commit message.
        seconds: Unix time of the commit.
        parent: Id of the previous commit; None for the first commit.
    """
    entries = b"".join(
        REGULAR_FILE
        + b" "
        + name.encode()
        + b"\0"
        + bytes.fromhex(_write(folder, b"blob", content))
        for name, content in sorted(files.items(), key=lambda each: each[0].encode())
    )
    tree = _write(folder, b"tree", entries)
    who = f"{AUTHOR} {seconds} +0000"
    lines = [f"tree {tree}", *([f"parent {parent}"] if parent else [])]
    lines += [f"author {who}", f"committer {who}", "", message, ""]
    return _write(folder, b"commit", "\n".join(lines).encode())


def set_branch(folder: Path, name: str, commit: str) -> None:
    """Points a branch to a commit."""
    (folder / "refs" / "heads" / name).write_text(commit + "\n")


def _write(folder: Path, kind: bytes, content: bytes) -> str:
    framed = _framed(kind, content)
    name = hashlib.sha1(framed, usedforsecurity=False).hexdigest()
    path = folder / "objects" / name[:2] / name[2:]
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zlib.compress(framed))
    return name


def _framed(kind: bytes, content: bytes) -> bytes:
    return kind + b" " + str(len(content)).encode() + b"\0" + content
