import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from babylm.client import BabylmError
from babylm.generate_docs import page
from tests.babylm.conftest import error_of
from tests.babylm.stub import Answer, problem, ranged, stream

ROOT = Path(__file__).resolve().parents[2]
JOB = {
    "id": "job-1",
    "name": "tiny",
    "status": "running",
    "stage": "train",
    "progress": 0.5,
    "created_at": "2026-11-24T05:00:00Z",
    "started_at": "2026-11-24T05:00:01Z",
    "finished_at": "2026-11-24T05:01:05Z",
    "eta_seconds": 12.0,
    "attempt": 1,
    "worker": "host:1",
    "metrics": {
        "step": 3,
        "values": {"train/loss": 3.25, "validation/loss": 7.63},
        "steps": {"train/loss": 3, "validation/loss": 0},
    },
    "error": None,
    "spec": {},
}
ERROR = {"code": "corpus_empty", "message": "gutenberg.train is empty", "hint": "Leave it out."}


def test_help_loads_nothing_heavy():
    # In a new process, because this one has already loaded the modules.
    code = (
        "import sys; sys.argv = ['babylm', '--help']\n"
        "from babylm.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'pydantic', 'httpx2', 'rich', 'celery', 'sqlalchemy'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "submit" in done.stdout
    assert done.stderr.strip() == "[]"


def test_bad_usage_is_2(run):
    assert run("submit", "--no-such-option").exit_code == 2
    assert run("no-such-command").exit_code == 2
    assert error_of(run("submit")).status == 2


def test_submit_sends_the_spec_with_a_key(run, stub):
    stub.routes["POST /v1/jobs"] = Answer(201, JOB)
    for _ in range(2):
        result = run(
            "submit", "--url", stub.url, "--preset", "sample", "--set", "training.epochs=3"
        )
        assert result.exit_code == 0, result
        assert "job-1" in result.stdout
    assert stub.requests[0].body == {"preset": "sample", "training": {"epochs": 3}}
    keys = [request.headers["idempotency-key"] for request in stub.requests]
    assert len(set(keys)) == 2


def test_the_service_is_found_by_environment_key_included(run, stub):
    stub.routes["GET /v1/jobs"] = Answer(200, {"data": [JOB], "next": None})
    result = run("jobs", "--json", BABYLM_URL=stub.url, BABYLM_API_KEY="first, second")
    assert json.loads(result.stdout) == [JOB]
    assert stub.requests[0].headers["authorization"] == "Bearer first"


def test_a_running_serve_is_found_through_its_file(run, stub, tmp_path):
    import os

    (tmp_path / "runs").mkdir()
    file = tmp_path / "runs" / "service.json"
    stub.routes["GET /v1/jobs"] = Answer(200, {"data": [], "next": None})
    file.write_text(json.dumps({"url": stub.url, "pid": os.getpid()}))
    assert run("jobs").exit_code == 0
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    file.write_text(json.dumps({"url": stub.url, "pid": gone.pid}))
    assert error_of(run("jobs", BABYLM_PORT="1")).message == "no service at http://127.0.0.1:1"


def test_tables_show_the_name_and_the_model_of_a_job(run, stub):
    stub.routes["GET /v1/jobs"] = Answer(200, {"data": [JOB], "next": None})
    stub.routes["GET /v1/jobs/job-1"] = Answer(200, JOB | {"name": "evil\x1b]0;name"})
    checkpoint = {
        "name": "best",
        "kind": "best",
        "step": 3,
        "words_seen": 12345,
        "validation_loss": 3.0,
        "files": [{"path": "a", "size": 2048, "sha256": ""}],
    }
    stub.routes["GET /v1/jobs/job-1/checkpoints"] = Answer(200, {"data": [checkpoint]})
    listed = run("jobs", "--url", stub.url).stdout
    assert "job-" in listed
    assert "50%" in listed
    shown = run("show", "job-1", "--url", stub.url).stdout
    assert re.search(r"training loss +3\.2500", shown)
    assert re.search(r"validation loss +7\.6300 at step 0", shown)
    assert "12,345" in shown
    assert "2 KiB" in shown
    assert "\x1b" not in shown


def test_the_list_of_jobs_fits_80_columns_with_short_ids_and_the_loss(run, stub, monkeypatch):
    ids = ["3f2a" + 28 * "0", "3f2b" + 28 * "0", "3f2b1" + 27 * "0"]
    long = {"name": "a long name " * 5, "status": "running", "stage": "tokenizer"}
    listed = [JOB | long | {"id": each, "eta_seconds": 360_000} for each in ids]
    stub.routes["GET /v1/jobs"] = Answer(200, {"data": listed, "next": None})
    for each in ids:
        stub.routes[f"GET /v1/jobs/{each}"] = Answer(200, JOB | {"id": each})
        stub.routes[f"POST /v1/jobs/{each}/pause"] = Answer(202, JOB | {"id": each})
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in run(
        "jobs", "--url", stub.url
    ).stdout.splitlines()]  # fmt: skip
    assert [line.split()[0] for line in lines] == ["job", "3f2a", "3f2b0", "3f2b1"]
    assert all(len(line) <= 80 for line in lines)
    assert "100:00:00" in lines[1]
    assert "3.2500" in lines[1]
    for short, each in zip(["3f2a", "3f2b0", "3f2b1"], ids, strict=True):
        assert run("pause", short, "--url", stub.url).exit_code == 0
        assert stub.requests[-1].path == f"/v1/jobs/{each}/pause"
    error = error_of(run("pause", "3f2b", "--url", stub.url))
    assert ids[1] in error.message
    assert ids[2] in error.message


def test_a_short_id_is_found_on_a_later_page_and_in_a_spec(run, stub):
    pages = [
        {"data": [{"id": f"{number:04x}{'0' * 28}"} for number in range(100)], "next": "c1"},
        {"data": [{"id": "beef" + "0" * 28}], "next": None},
    ]
    stub.routes["GET /v1/jobs"] = [Answer(200, page) for page in [*pages, *pages]]
    stub.routes["GET /v1/jobs/beef" + "0" * 28] = Answer(200, JOB | {"id": "beef" + "0" * 28})
    stub.routes["POST /v1/jobs"] = Answer(201, JOB)
    result = run("submit", "--set", "tokenizer.from_job=beef", "--url", stub.url)
    assert result.exit_code == 0, result
    assert stub.requests[-1].body == {"tokenizer": {"from_job": "beef" + "0" * 28}}
    result = run("submit", "--set", "init_from.job=beef", "--url", stub.url)
    assert result.exit_code == 0, result
    assert stub.requests[-1].body == {"init_from": {"job": "beef" + "0" * 28}}


@pytest.mark.parametrize("output", ["file", "file/below"])
def test_a_download_onto_a_file_is_a_message(run, stub, tmp_path, output):
    (tmp_path / "file").write_text("mine")
    files = [{"path": "a.txt", "size": 3, "sha256": ""}]
    stub.routes["GET /v1/jobs/job-1"] = Answer(200, JOB)
    stub.routes["GET /v1/jobs/job-1/checkpoints"] = Answer(
        200, {"data": [{"name": "last", "step": 3, "files": files}]}
    )
    error = run("download", "job-1", "-o", tmp_path / output, "--url", stub.url).exception
    assert isinstance(error, BabylmError | NotADirectoryError)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("action", ["cancel", "pause", "resume", "retry"])
def test_actions_are_sent_and_a_refusal_is_1(run, stub, action):
    stub.routes["GET /v1/jobs/job-1"] = Answer(200, JOB)
    stub.routes[f"POST /v1/jobs/job-1/{action}"] = [
        Answer(202, JOB),
        problem(409, f"a running job cannot {action}"),
    ]
    assert run(action, "job-1", "--url", stub.url).exit_code == 0
    error = error_of(run(action, "job-1", "--url", stub.url))
    assert (error.status, error.message) == (1, f"a running job cannot {action} (409)")


def test_delete_removes_a_job(run, stub):
    stub.routes["GET /v1/jobs/job-1"] = Answer(200, JOB)
    stub.routes["DELETE /v1/jobs/job-1"] = Answer(204)
    assert run("delete", "job-1", "--url", stub.url).exit_code == 0


def history(status: str) -> list[dict]:
    data = [
        ("status", {"status": "running", "attempt": 1}),
        ("stage", {"stage": "clean", "state": "finished", "seconds": 2.0, "cached": False}),
        ("progress", {"stage": "train", "progress": 0.5, "stage_progress": 0.4, "step": 9}),
        ("metrics", {"step": 10, "values": {"validation/loss": 3.0, "train/loss": None}}),
        ("checkpoint", {"action": "saved", "name": "last", "kind": "last", "step": 10}),
        ("sample", {"step": 10, "prompt": "The", "text": " dog"}),
        ("warning", {"code": "w", "message": "a \x1b warning"}),
        ("status", {"status": status, "attempt": 1}),
    ]
    return [
        {"seq": seq, "time": "2026-11-24T05:00:00Z", "type": kind, "data": body}
        for seq, (kind, body) in enumerate(data, 1)
    ]


def followed(stub, status: str, **job: object) -> list[dict]:
    events = history(status)
    stub.routes["GET /v1/jobs/job-1/events/stream"] = stream(*events)
    stub.routes["GET /v1/jobs/job-1/events"] = Answer(200, {"data": []})
    stub.routes["GET /v1/jobs/job-1"] = Answer(200, JOB | {"status": status} | job)
    return events


def test_follow_shows_plain_lines_to_a_pipe(run, stub):
    followed(stub, "succeeded")
    result = run("follow", "job-1", "--url", stub.url)
    assert result.exit_code == 0, result
    lines = result.stdout.splitlines()
    assert "clean: took 0:02" in lines
    assert "step 10: validation loss 3.0000" in lines
    assert "step 10: 'The dog'" in lines
    assert "warning: a ? warning" in lines
    assert lines[-1].startswith("job job-1 succeeded after 1:04")


def test_follow_of_a_failed_job_is_1_and_says_why(run, stub):
    followed(stub, "failed", error=ERROR)
    error = error_of(run("follow", "job-1", "--url", stub.url))
    assert error.status == 1
    assert "gutenberg.train is empty (corpus_empty)" in error.message
    assert error.hint == "Leave it out."


def test_follow_as_json_is_one_event_a_line(run, stub):
    events = followed(stub, "cancelled")
    result = run("follow", "job-1", "--url", stub.url, "--json")
    assert [json.loads(line) for line in result.stdout.splitlines()] == events
    assert error_of(result).status == 1


def test_ctrl_c_detaches_without_cancelling(run, stub):
    followed(stub, "running")
    path = "GET /v1/jobs/job-1/events/stream"
    answer = stub.routes[path]

    def interrupt(_: object) -> Answer:
        os.kill(os.getpid(), signal.SIGINT)
        return answer

    stub.routes[path] = interrupt
    # If a shell runs the tests in the background, their process ignores SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        error = error_of(run("follow", "job-1", "--url", stub.url))
    finally:
        signal.signal(signal.SIGINT, before)
    assert (error.status, error.message) == (130, "detached; job job-1 continues")
    assert not [request for request in stub.requests if request.method == "POST"]


def test_download_and_generate_take_the_last_checkpoint(run, stub, tmp_path):
    import hashlib

    files = [{"path": "a.txt", "size": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}]
    stub.routes["GET /v1/jobs/job-1"] = Answer(200, JOB)
    stub.routes["GET /v1/jobs/job-1/checkpoints"] = Answer(
        200, {"data": [{"name": "last", "step": 3, "files": files}]}
    )
    stub.routes["GET /v1/jobs/job-1/checkpoints/last/files/a.txt"] = ranged(b"abc")
    result = run("download", "job-1", "-o", tmp_path / "out", "--url", stub.url)
    assert result.exit_code == 0, result
    assert (tmp_path / "out" / "a.txt").read_text() == "abc"
    generated = Answer(200, {"text": " dog runs"})
    stub.routes["POST /v1/jobs/job-1/checkpoints/last/generate"] = generated
    result = run("generate", "job-1", "The", "--seed", "1", "--url", stub.url)
    assert result.stdout == "The dog runs\n"
    assert stub.requests[-1].body["seed"] == 1
    assert "top_k" not in stub.requests[-1].body


def test_the_lists_of_presets_and_workers(run, stub):
    for name, row in (
        ("datasets", {"name": "train_10M", "sources": ["childes"], "bytes": 2048, "words": 1000}),
        ("presets", {"name": "sample", "description": "A tiny one."}),
        ("workers", {"name": "host:1", "queue": "train", "devices": [{"name": "cpu"}]}),
    ):
        stub.routes[f"GET /v1/{name}"] = Answer(200, {"data": [row]})
        assert row["name"] in run(name, "--url", stub.url).stdout
        assert json.loads(run(name, "--url", stub.url, "--json").stdout) == [row]


def test_invalid_settings_are_bad_usage(run):
    error = error_of(run("jobs", BABYLM_PORT="many"))
    assert error.status == 2
    assert "BABYLM_PORT" in error.message


def test_the_page_about_the_commands_is_not_stale(monkeypatch):
    monkeypatch.chdir(ROOT)
    text = page()
    assert text == (ROOT / "docs" / "cli.md").read_text(), (
        "python -m babylm.generate_docs > docs/cli.md"
    )
    for part in text.split("### babylm ")[1:]:
        assert "--json" in part or part.startswith(
            ("api", "worker\n", "cache\n", "db\n", "provision")
        )


STUDY = {
    "id": "b" * 32,
    "name": "rates",
    "created_at": "2026-11-24T05:00:00Z",
    "num_conditions": 2,
    "num_members": 2,
    "seeds": [0],
    "counts": {"succeeded": 2},
    "metrics": ["validation/loss"],
    "table": [
        {
            "condition": {"training.learning_rate": rate},
            "metrics": {
                "validation/loss": {
                    **{"n": 3, "mean": 3.25, "deviation": 0.5, "best": 3.0},
                    **{"difference": difference, "noise": None, "verdict": verdict},
                }
            },
        }
        for rate, difference, verdict in ((1e-4, None, "baseline"), (5e-4, -2.0, "better"))
    ],
    "members": [
        {"job": "job-1", "condition": {}, "seed": 0, "status": "succeeded", "progress": 1.0}
    ],
}


def test_a_study_is_submitted_followed_and_shown(run, stub):
    running = STUDY | {"counts": {"running": 2}}
    path = f"/v1/studies/{STUDY['id']}"
    stub.routes["POST /v1/studies"] = Answer(201, running)
    stub.routes["GET /v1/studies"] = Answer(200, {"data": [STUDY], "next": None})
    stub.routes[f"GET {path}"] = Answer(200, STUDY)
    stub.routes[f"GET {path}/csv"] = Answer(200, b"condition,seed\n0,0\n")
    service = {"BABYLM_URL": stub.url}
    grid = ("--grid", "training.learning_rate=1e-4,5e-4", "--grid", "model.architecture=olmo2")
    done = run("study", "--preset", "sample", *grid, "--seeds", "3", "--follow", **service)
    assert done.exit_code == 0, done
    assert stub.requests[0].body == {
        "spec": {"preset": "sample"},
        "grid": {"training.learning_rate": [1e-4, 5e-4], "model.architecture": ["olmo2"]},
        "seeds": 3,
    }
    shown = run("study-show", "last", **service).stdout
    for text in (done.stdout, shown):
        assert "3.2500 ± 0.5000" in text
        assert "-2.0000 better" in text
    assert run("study-show", "bbbb", "--csv", **service).stdout == "condition,seed\n0,0\n"
    assert "2 succeeded" in run("studies", **service).stdout
    stub.routes[f"POST {path}/seeds"] = Answer(202, STUDY | {"seeds": [7]})
    assert run("study-seeds", "last", "7,", **service).exit_code == 0
    assert stub.requests[-1].body == {"seeds": [7]}
    stub.routes[f"POST {path}/resume"] = Answer(202, running)
    assert "now 2 running" in run("study-resume", "last", **service).stdout
    stub.routes[f"GET {path}"] = Answer(200, STUDY | {"counts": {"succeeded": 1, "failed": 1}})
    failed = run("study", "--preset", "sample", "--follow", **service)
    assert error_of(failed).status == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--grid", "training.epochs"), "not of the form field=value,value"),
        (("--grid", "training.epochs="), "not of the form field=value,value"),
        (("--grid", "a=1", "--grid", "a=2"), "given twice"),
        (("--seeds", "some"), "neither a number nor a list"),
    ],
)
def test_a_grid_that_cannot_be_read_is_bad_usage(run, stub, options, message):
    error = error_of(run("study", "--preset", "sample", *options, BABYLM_URL=stub.url))
    assert (error.status, message in error.message) == (2, True)
