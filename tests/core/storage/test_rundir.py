"""The run folder: visible files are complete, and one process holds the lock."""

import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import RunLocked
from core.storage.rundir import (
    RunDir,
    locked,
    publish_file,
    publish_folder,
    remove_abandoned,
    remove_folder,
    remove_staging,
)


def fill(text: str):
    return lambda folder: (folder / "file").write_text(text) and None


def test_a_folder_appears_complete_or_not_at_all(tmp_path):
    def broken(folder):
        (folder / "file").write_text("half")
        raise RuntimeError("died")

    with pytest.raises(RuntimeError):
        publish_folder(tmp_path / "result", broken)
    assert list(tmp_path.iterdir()) == []
    assert publish_folder(tmp_path / "result", fill("whole"))
    assert (tmp_path / "result" / "file").read_text() == "whole"


def test_the_second_of_two_builders_discards_its_result(tmp_path):
    assert publish_folder(tmp_path / "result", fill("first"))
    assert not publish_folder(tmp_path / "result", fill("second"))
    assert (tmp_path / "result" / "file").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_a_file_is_replaced_at_once(tmp_path):
    publish_file(tmp_path / "file", b"old")
    publish_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_temporary_folders_of_a_killed_process_are_removed(tmp_path):
    (tmp_path / "result.123.tmp").mkdir()
    (tmp_path / "file.tmp").write_text("half")
    publish_folder(tmp_path / "kept", fill("whole"))
    remove_staging(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_removing_twice_does_no_harm(tmp_path):
    publish_folder(tmp_path / "result", fill("whole"))
    remove_folder(tmp_path / "result")
    remove_folder(tmp_path / "result")
    assert list(tmp_path.iterdir()) == []


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path):
    rundir = RunDir(tmp_path)
    program = (
        "import sys, pathlib; from core.storage.rundir import RunDir, locked\n"
        "with locked(RunDir(pathlib.Path(sys.argv[1]))):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunLocked), locked(rundir):
            pass
        holder.kill()
        holder.wait()
        with locked(rundir):
            pass


def test_files_of_a_killed_builder_are_removed_and_those_of_a_live_one_stay(tmp_path):
    program = (
        "import sys, pathlib; from core.storage.rundir import publish_folder\n"
        "def build(folder):\n"
        "    print(folder, flush=True); sys.stdin.read()\n"
        "publish_folder(pathlib.Path(sys.argv[1]) / 'result', build)"
    )
    builders = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    with builders[0] as killed, builders[1] as alive:
        folders = [Path(each.stdout.readline().decode().strip()) for each in (killed, alive)]
        killed.kill()
        killed.wait()
        remove_abandoned(tmp_path, young_seconds=0.0)
        assert [folder.exists() for folder in folders] == [False, True]
        alive.stdin.close()
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_a_folder_that_another_host_builds_is_kept_although_its_lock_is_invisible(tmp_path):
    another_host = tmp_path / f"result.{'0' * 8}{'1' * 8}.tmp"
    another_host.mkdir()
    killed = tmp_path / "result.123.tmp"
    killed.mkdir()
    remove_abandoned(tmp_path, young_seconds=0.0)
    assert another_host.exists()
    assert not killed.exists()
    assert publish_folder(
        tmp_path / "result", lambda folder: (folder / "x").write_text("x"), resume=True
    )
    assert another_host.exists()
