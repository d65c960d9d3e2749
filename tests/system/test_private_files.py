"""The service on a host with other accounts, which cannot read its files or reach its socket."""

import json
import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from api.unix_socket import SocketUnavailable, bind_socket
from core.process.program import python_command
from core.sample import write_sample
from tests.system.service import running_service, tiny_spec

pytestmark = pytest.mark.system


def babylm(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {n: v for n, v in os.environ.items() if not n.startswith("BABYLM_")}
    return subprocess.run(
        python_command("babylm.main", *words),
        cwd=folder,
        env=variables | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def open_to_others(folder: Path, mask: int = 0o077) -> list[tuple[str, str]]:
    found = []
    for path in [folder, *folder.rglob("*")]:
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and stat.S_IMODE(mode) & mask:
            found.append((str(path.relative_to(folder.parent)), stat.filemode(mode)))
    return found


def test_a_job_over_a_unix_socket_leaves_no_file_that_others_can_read(tmp_path):
    path = tmp_path / "b.sock"
    (tmp_path / "spec.json").write_text(json.dumps(tiny_spec(max_steps=4)))
    (tmp_path / "own.train").write_text("the dog runs .\n" * 200)
    with running_service(tmp_path, BABYLM_SOCKET=str(path)) as service:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
        runs = {"BABYLM_RUNS_DIR": str(tmp_path / "runs")}
        # The command finds the socket through the runs folder, and by its address.
        done = babylm(tmp_path, "submit", "spec.json", "--follow", **runs)
        assert done.returncode == 0, done.stderr + done.stdout
        done = babylm(tmp_path, "datasets", "add", "mine", "own.train", "--url", f"unix:{path}")
        assert done.returncode == 0, done.stderr
        job_id = service.http.get("/v1/jobs").json()["data"][0]["id"]
        service.http.post(f"/v1/jobs/{job_id}/checkpoints/last/generate", json={})
        assert open_to_others(tmp_path / "runs") == []
        assert open_to_others(tmp_path / "data") == []
    assert not path.exists()
    said = (tmp_path / "serve.log").read_text()
    assert f"socket: {path}" in said
    assert "BABYLM_UMASK" in said


def test_a_group_may_read_where_the_umask_lets_it(tmp_path):
    write_sample(tmp_path / "data", target_bytes=60_000)
    done = babylm(tmp_path, "migrate", BABYLM_UMASK="027")
    assert done.returncode == 0, done.stderr
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "runs").iterdir()}
    assert modes == {0o640}
    assert babylm(tmp_path, "migrate", BABYLM_UMASK="9").returncode == 2


def test_a_run_without_a_service_leaves_no_file_that_others_can_read(tmp_path):
    chosen = ("data.dataset=sample", "data.validation=sample_dev", "task=tokenizer")
    words = [word for each in chosen for word in ("--set", each)]
    done = babylm(tmp_path, "train", *words, "-o", "run")
    assert done.returncode == 0, done.stderr
    folders = sorted(tmp_path.iterdir())
    assert [folder.name for folder in folders] == ["data", "run", "runs"]
    assert [each for folder in folders for each in open_to_others(folder)] == []


def test_a_start_names_old_folders_that_others_may_enter_and_the_open_port(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs").chmod(0o755)
    with running_service(tmp_path):
        pass
    said = (tmp_path / "serve.log").read_text()
    assert f"chmod -R go= {tmp_path / 'runs'}" in said
    assert "BABYLM_API_KEY or BABYLM_SOCKET" in said
    assert str(tmp_path / "data") not in said  # private: the service created it


def test_a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not(tmp_path):
    path = tmp_path / "s"
    first = bind_socket(path)
    first.close()
    assert path.exists()
    second = bind_socket(path)
    second.listen()
    with pytest.raises(SocketUnavailable, match="another program listens"):
        bind_socket(path)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
    second.close()


@pytest.mark.parametrize(
    ("name", "said"), [("x" * 120, "bytes long"), ("file", "is not a socket"), ("file/s", "socket")]
)
def test_a_socket_that_is_invalid_is_a_message(tmp_path, name, said):
    (tmp_path / "file").write_text("text")
    done = babylm(tmp_path, "serve", "--socket", name)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "file").read_text() == "text"


def test_a_socket_and_a_port_are_one_too_many(tmp_path):
    done = babylm(tmp_path, "serve", "--socket", "s", "--port", "0")
    assert done.returncode == 2
    assert "both are given" in done.stderr
