import json
import os
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from core.process.program import python_command
from tests.babylm.stub import Answer

ROOT = Path(__file__).resolve().parents[2]


def babylm(*words, **more):
    return subprocess.run(
        python_command("babylm.main", *words),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        **more,
    )


def test_a_failure_is_a_sentence_a_hint_and_the_status_not_a_traceback():
    done = babylm("jobs", "--url", "http://127.0.0.1:1")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[0] == "babylm: no service at http://127.0.0.1:1"
    assert done.stderr.splitlines()[1].startswith("hint: Start one with `babylm serve`")


def test_a_failure_is_json_where_json_was_asked_for():
    done = babylm("jobs", "--json", "--url", "http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert json.loads(done.stderr)["error"]["message"].startswith("no service")


def test_the_version_is_that_of_the_installed_project():
    done = babylm("--version")
    assert (done.returncode, done.stdout) == (0, f"babylm {version('babylm-service')}\n")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["presets", "--help"], ["jobs"]])
def test_a_full_output_device_is_a_message(words, stub):
    stub.routes["GET /v1/jobs"] = Answer(200, {"data": [{"id": "a", "status": "queued"}]})
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            python_command("babylm.main", *words),
            env=os.environ | {"BABYLM_URL": stub.url},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "babylm: the output cannot be written: No space left on device\n"


def in_folder(folder, *words, **environment):
    variables = {n: v for n, v in os.environ.items() if not n.startswith("BABYLM_")}
    return subprocess.run(
        python_command("babylm.main", *words),
        cwd=folder,
        env=variables | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", ["jobs", "api", "migrate", "worker"])
def test_an_env_file_that_is_not_utf8_is_a_message(command, tmp_path):
    (tmp_path / ".env").write_bytes(b"BABYLM_PORT=8000\nBABYLM_API_KEY=caf\xe9\n")
    done = in_folder(tmp_path, command)
    assert done.returncode == 2
    assert ".env is not UTF-8: line 2 has the byte 0xe9" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_env_file_that_is_a_picture_is_not_text(tmp_path):
    (tmp_path / ".env").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    done = in_folder(tmp_path, "jobs")
    assert done.returncode == 2
    assert ".env is not a text file; it must have one setting a line" in done.stderr
    assert "iconv" not in done.stderr


@pytest.mark.parametrize("command", ["api", "migrate", "worker"])
def test_a_database_that_does_not_answer_is_a_message_without_its_password(command, tmp_path):
    url = "postgresql+psycopg://user:secret@127.0.0.1:1/babylm"
    done = in_folder(tmp_path, command, BABYLM_DATABASE_URL=url)
    assert done.returncode == 1
    assert "the database postgresql+psycopg://user:***@127.0.0.1:1/babylm cannot" in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize("url", ["nonsense:x", "foo://host/x", "sqlite://"])
def test_an_address_of_a_database_that_is_not_valid_is_bad_usage(url, tmp_path):
    done = in_folder(tmp_path, "migrate", BABYLM_DATABASE_URL=url)
    assert done.returncode == 2
    assert "is not valid" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistyped_variable_is_named_at_the_start(tmp_path):
    (tmp_path / ".env").write_text("BABYLM_RUN_DIR=elsewhere\nBABYLM_HOST_DATA_DIR=data\n")
    done = in_folder(tmp_path, "migrate", BABYLM_APIKEY="x", BABYLM_URL="y", BABYLM_TRY_DOCKER="1")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "babylm: BABYLM_APIKEY is not a setting and has no effect; did you mean BABYLM_API_KEY?",
        "babylm: BABYLM_RUN_DIR is not a setting and has no effect; did you mean BABYLM_RUNS_DIR?",
    ]
