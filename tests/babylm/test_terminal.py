"""Completion, open, top and doctor."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from babylm.doctor import examine, proxy_address
from core.process.program import python_command
from jobs.database import upgrade
from jobs.settings import Settings
from tests.babylm.conftest import error_of
from tests.babylm.stub import Answer

IDS = ["3f2a" + "0" * 28, "beef" + "0" * 28]
JOBS = [
    {"id": each, "name": f"job {number}", "status": "running", "stage": "train", "progress": 0.5}
    for number, each in enumerate(IDS)
]
WORKER = {"name": "host:1", "queue": "train", "devices": [{"name": "cpu"}]}


def complete(stub, words: str) -> str:
    return subprocess.run(
        python_command("babylm.main"),
        env=os.environ
        | {"_BABYLM_COMPLETE": "complete_bash", "BABYLM_URL": stub.url}
        | {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)},
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def test_the_shell_completes_commands_options_and_ids_of_jobs(stub):
    stub.routes["GET /v1/jobs"] = Answer(200, {"data": JOBS, "next": None})
    assert {"download", "doctor"} <= set(complete(stub, "babylm do").split())
    assert "--checkpoint" in complete(stub, "babylm download --ch").split()
    assert complete(stub, "babylm show ").split() == ["3f2a", "beef", "last"]
    assert complete(stub, "babylm pause be").split() == ["beef"]


def test_completion_without_a_service_is_empty_and_silent(stub):
    stub.url = "http://127.0.0.1:1"
    assert complete(stub, "babylm show ").strip() == ""


def test_open_starts_the_browser_on_the_page_of_the_job(run, stub, tmp_path, monkeypatch):
    job = IDS[0]
    stub.routes["GET /v1/jobs"] = Answer(200, {"data": JOBS, "next": None})
    stub.routes[f"GET /v1/jobs/{job}"] = Answer(200, JOBS[0])
    browser = tmp_path / "browser"
    browser.write_text(f"#!{sys.executable}\nimport sys\nopen({str(tmp_path / 'seen')!r}, 'w')"
                       ".write(sys.argv[1])\n")  # fmt: skip
    browser.chmod(0o755)
    done = subprocess.run(
        python_command("babylm.main", "open", "3f2a", "--url", stub.url),
        env=os.environ | {"BROWSER": f"{browser} %s"},
        capture_output=True,
        text=True,
        check=False,
    )
    page = f"{stub.url}/#/jobs/{job}"
    assert (done.returncode, done.stdout) == (0, f"{page}\n"), done.stderr
    assert (tmp_path / "seen").read_text() == page
    assert json.loads(run("open", "--json", "--url", stub.url).stdout) == {"url": f"{stub.url}/"}


def test_a_browser_cannot_open_a_socket(run):
    error = error_of(run("open", "--url", "unix:/run/b.sock"))
    assert "ssh -L 8000:/run/b.sock HOST" in str(error.hint)


def test_submit_prints_a_link_to_the_dashboard(run, stub):
    stub.routes["POST /v1/jobs"] = Answer(201, JOBS[0])
    lines = run("submit", "--preset", "sample", "--url", stub.url).stdout.splitlines()
    assert f"dashboard: {stub.url}/#/jobs/{IDS[0]}" in lines


def test_top_prints_jobs_and_workers_once_to_a_pipe(run, stub):
    stub.routes["GET /v1/jobs"] = Answer(200, {"data": JOBS, "next": None})
    stub.routes["GET /v1/workers"] = Answer(200, {"data": [WORKER]})
    shown = run("top", "--url", stub.url).stdout
    assert "2 running, 0 queued" in shown
    assert "3f2a" in shown
    assert "host:1" in shown
    assert json.loads(run("top", "--json", "--url", stub.url).stdout)["workers"] == [WORKER]


def findings(settings: Settings) -> dict:
    return {finding.what: finding for finding in examine(settings)}


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [n for n in os.environ if n.startswith("BABYLM_") or n.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)

    def make(**values: object) -> Settings:
        folders = {"runs_dir": tmp_path / "runs", "data_dir": tmp_path / "data"}
        return Settings(_env_file=None, port=0, **folders, **values)

    return make


def test_a_machine_in_order_has_nothing_wrong(settings):
    found = findings(settings())
    wrong = {what: finding for what, finding in found.items() if finding.state == "wrong"}
    assert set(wrong) <= {"torch", "GPU", "containers"}  # these depend on the machine
    expected = {"Python", "packages", "torch", "GPU", "service", "database", "Redis"}
    assert expected <= set(found)


def test_doctor_names_each_problem_and_the_command_that_fixes_it(settings, monkeypatch, tmp_path):
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://user:secret@127.0.0.1:1")
    monkeypatch.setenv("BABYLM_RUN_DIR", "x")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs").chmod(0o755)
    (tmp_path / "runs" / "old.sqlite3").touch()
    found = list(
        examine(
            settings(
                database_url=f"sqlite:///{tmp_path / 'runs' / 'old.sqlite3'}",
                redis_url="redis://127.0.0.1:1/0",
                host="0.0.0.0",
            )
        )
    )
    fixes = {finding.fix for finding in found if finding.state == "wrong"}
    assert "babylm migrate" in fixes
    assert "BABYLM_API_KEY=$(openssl rand -hex 32)" in fixes
    assert "unset http_proxy" in fixes
    assert "pip install socksio" in fixes
    assert all(finding.fix for finding in found if finding.state == "wrong")
    said = " ".join(finding.detail for finding in found)
    assert "did you mean BABYLM_RUNS_DIR?" in said
    assert "redis://127.0.0.1:1/0" in said
    assert "secret" not in said
    assert f"chmod -R go= {tmp_path / 'runs'}" in {finding.fix for finding in found}


def test_a_database_and_a_redis_without_password_in_the_report(settings):
    database = "postgresql+psycopg://user:secret@127.0.0.1:1/x"
    redis = "redis://:secret@127.0.0.1:1/0"
    found = findings(settings(database_url=database, redis_url=redis))
    assert found["database"].state == found["Redis"].state == "wrong"
    assert "secret" not in found["database"].detail + found["Redis"].detail
    assert "redis://:***@127.0.0.1:1/0" in found["Redis"].detail


@pytest.mark.parametrize(
    ("proxy", "address"),
    [
        ("http://proxy.example", ("proxy.example", 80)),
        ("https://user:secret@proxy.example/", ("proxy.example", 443)),
        ("proxy.example:3128", ("proxy.example", 3128)),
        ("http://[::1]:3128/", ("::1", 3128)),
        ("socks5://proxy.example", ("proxy.example", 1080)),
    ],
)
def test_a_proxy_without_a_port_has_the_default_of_its_scheme(proxy, address):
    assert proxy_address(proxy) == address


def test_doctor_ends_with_1_if_something_is_wrong(tmp_path):
    def doctor(**environment: str) -> subprocess.CompletedProcess[str]:
        variables = {n: v for n, v in os.environ.items() if not n.startswith("BABYLM_")}
        return subprocess.run(
            python_command("babylm.main", "doctor", "--json"),
            cwd=tmp_path,
            env=variables | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    database = tmp_path / "b.sqlite3"
    upgrade(f"sqlite:///{database}")
    done = doctor(BABYLM_PORT="0", BABYLM_DATABASE_URL=f"sqlite:///{database}")
    states = {each["what"]: each["state"] for each in json.loads(done.stdout)}
    assert states["database"] == "ok"
    assert done.returncode == int("wrong" in states.values())
    done = doctor(BABYLM_REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1
    assert Path(tmp_path / "runs").exists() is False
