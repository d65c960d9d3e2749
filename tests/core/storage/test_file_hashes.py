"""Hashes of files are cached until the file changes."""

import hashlib
import os

import pytest

from core.storage.file_hashes import FileHashes, hash_file


@pytest.fixture
def hashes(tmp_path):
    """A cache of hashes with a clock in the far future, so that no change is recent."""
    return FileHashes(tmp_path / "hashes", clock=lambda: 4e9)


@pytest.fixture
def file(tmp_path):
    """A file with the time stamps of a change long ago."""
    path = tmp_path / "text"
    write(path, b"one")
    return path


def write(path, content, when=1_000_000_000):
    path.write_bytes(content)
    os.utime(path, (when, when))


def sha(content):
    return hashlib.sha256(content).hexdigest()


def plant(hashes, path, wrong):
    """Replaces the stored hash of a file, so that a read of the cache is visible."""
    (memory,) = hashes.folder.iterdir()
    memory.write_text(memory.read_text().replace(sha(path.read_bytes()), wrong))


def test_a_file_that_just_changed_is_not_remembered(tmp_path, file):
    hashes = FileHashes(tmp_path / "hashes")
    assert hashes.of(file) == sha(b"one")  # its ctime is new, although its mtime is old
    assert not hashes.folder.exists()


def test_a_settled_file_is_remembered_until_it_changes(hashes, file):
    assert hashes.of(file) == sha(b"one")
    plant(hashes, file, "remembered")
    assert hashes.of(file) == "remembered"
    write(file, b"two")  # the same size and mtime, as after a copy that preserves mtimes
    assert hashes.of(file) == sha(b"two")


def test_a_damaged_memory_is_ignored(hashes, file):
    hashes.of(file)
    (memory,) = hashes.folder.iterdir()
    for torn in ("", "[1, 2", "{}", "[]"):
        memory.write_text(torn)
        assert hashes.of(file) == sha(b"one") == hash_file(file)
