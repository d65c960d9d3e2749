"""If the disk is full at any point of a run, the run fails with a named error.

Visible files stay complete, and the run continues after space was freed.
"""

import hashlib
import json
import os
import subprocess

import pytest

from core.errors import DiskFull
from core.events.types import CheckpointData
from core.storage.file_hashes import hash_file
from core.training.saving.resume import newest_resume_point

POINTS = 10
BLOCK = 4096


@pytest.fixture
def small_disk(tmp_path):
    """Creates a file system of a given size, and resizes it."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size: int, *options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", ",".join([*options, f"size={size}"])]
        done = subprocess.run([*command, "tmpfs", str(folder)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("mounting a small file system is not permitted")

    yield folder, mount
    subprocess.run(["umount", str(folder)], capture_output=True, check=False)


def used(folder) -> int:
    """Bytes of the allocated blocks of the file system."""
    space = os.statvfs(folder)
    return (space.f_blocks - space.f_bfree) * space.f_frsize


def visible_is_whole(run) -> None:
    """Asserts that checkpoints match their events, and that resume points match their hashes."""
    shown = {}
    for event in run.of(CheckpointData):
        if event.action == "saved":
            shown[event.name] = event.files
        else:
            shown.pop(event.name, None)
    for name, files in shown.items():
        for file in files:
            content = (run.rundir.checkpoint(name) / file.path).read_bytes()
            assert len(content) == file.size
            assert hashlib.sha256(content).hexdigest() == file.sha256
    for point in run.rundir.resume.glob("step-*"):
        if not point.name.endswith(".tmp"):
            for name, entry in json.loads((point / "manifest.json").read_bytes()).items():
                assert hash_file(point / name) == entry["sha256"]


def test_a_disk_that_is_full_at_any_point_breaks_nothing(tiny_run, small_disk, tmp_path):
    folder, mount = small_disk
    alone = tiny_run(name="alone")
    alone.go()
    weights = hash_file(alone.rundir.checkpoint("last") / "model.safetensors")
    mount(64 << 20)
    measured = tiny_run(name="disk/measured")
    measured.go()
    needed = used(folder)
    subprocess.run(["umount", str(folder)], check=True)
    full = 0
    for point in range(1, POINTS + 1):
        size = max(BLOCK * 8, needed * point // (POINTS + 1) // BLOCK * BLOCK)
        mount(size)
        run = tiny_run(name=f"disk/run-{point}")
        with pytest.raises(DiskFull) as raised:
            run.go()
        assert raised.value.hint
        full += 1
        visible_is_whole(run)
        mount(64 << 20, "remount")
        whole = newest_resume_point(run.rundir, lambda *_: pytest.fail("a damaged resume point"))
        run.go()
        visible_is_whole(run)
        assert hash_file(run.rundir.checkpoint("last") / "model.safetensors") == weights
        assert run.values("train/loss") == alone.values("train/loss")
        assert whole is None or whole.state.step <= 12
        subprocess.run(["umount", str(folder)], check=True)
    assert full == POINTS
