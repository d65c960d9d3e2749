"""Writes revisions as a Hub cache and a Git repository in one folder.

`FOLDER/models--USER--NAME` has the layout that `huggingface_hub` reads if `HF_HUB_CACHE` is FOLDER:
`refs/REVISION` contains the id of a commit, and `snapshots/COMMIT/FILE` is a link to `blobs/ID`.
`FOLDER/.git` is a bare repository with a branch for each revision. Large files are hard links to
the files of the checkpoints.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.events.types import CheckpointData, CheckpointFile
from core.export.submission.git_objects import (
    begin_repository,
    blob_id,
    commit_files,
    lfs_object,
    lfs_pointer,
    set_branch,
)
from core.storage.links import link_or_copy

MAIN = "main"
GIT = ".git"
LARGE_SUFFIX = ".safetensors"
ATTRIBUTES_FILE = ".gitattributes"
ATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"


@dataclass(frozen=True)
class Revision:
    """A checkpoint, and the name of the branch that it becomes."""

    branch: str
    checkpoint: CheckpointData
    folder: Path
    replaced: dict[str, bytes] = field(default_factory=dict)
    """New content, by file name, of the files that are not taken from the checkpoint."""


def cache_name(repository: str) -> str:
    """The name of a repository's folder in a Hub cache."""
    return "models--" + repository.replace("/", "--")


def write_revisions(
    folder: Path, repository: str, revisions: Sequence[Revision], *, seconds: int
) -> dict[str, str]:
    """Writes a commit for each revision, on top of the previous one; returns commit ids by branch.

    Args:
        folder: An existing folder.
        repository: Name of the repository, USER/NAME.
        revisions: The revisions in the order of the commits.
        seconds: Unix time of the commits.
    """
    git, cache = folder / GIT, folder / cache_name(repository)
    begin_repository(git)
    for name in ("blobs", "refs", "snapshots"):
        (cache / name).mkdir(parents=True)
    commits: dict[str, str] = {}
    parent = None
    for revision in revisions:
        large, small = _contents(revision)
        pointers = {file.path: lfs_pointer(file.sha256, file.size) for file in large}
        words = f"{revision.checkpoint.words_seen:,} words seen"
        parent = commit_files(
            git,
            small | pointers,
            message=f"{revision.branch}: {revision.checkpoint.name}, {words}",
            seconds=seconds,
            parent=parent,
        )
        set_branch(git, revision.branch, parent)
        _write_snapshot(cache, git, revision, parent, large, small)
        (cache / "refs" / revision.branch).write_text(parent)
        commits[revision.branch] = parent
    return commits


def _contents(revision: Revision) -> tuple[list[CheckpointFile], dict[str, bytes]]:
    """The large files, and the contents of the other files by name."""
    large = []
    small = {ATTRIBUTES_FILE: ATTRIBUTES}
    for file in revision.checkpoint.files:
        if file.path in revision.replaced:
            continue
        if file.path.endswith(LARGE_SUFFIX):
            large.append(file)
        else:
            small[file.path] = (revision.folder / file.path).read_bytes()
    return large, small | revision.replaced


def _write_snapshot(
    cache: Path,
    git: Path,
    revision: Revision,
    commit: str,
    large: Sequence[CheckpointFile],
    small: dict[str, bytes],
) -> None:
    snapshot = cache / "snapshots" / commit
    snapshot.mkdir()
    for file in large:
        blob = cache / "blobs" / file.sha256
        if not blob.exists():
            link_or_copy(revision.folder / file.path, blob)
            stored = lfs_object(git, file.sha256)
            stored.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(blob, stored)
        _link(snapshot / file.path, blob)
    for name, content in small.items():
        blob = cache / "blobs" / blob_id(content)
        if not blob.exists():
            blob.write_bytes(content)
        _link(snapshot / name, blob)


def _link(path: Path, blob: Path) -> None:
    path.symlink_to(os.path.relpath(blob, path.parent))
