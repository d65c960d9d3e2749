import json
import subprocess
from importlib.metadata import version
from pathlib import Path

from core.process.program import python_command

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
