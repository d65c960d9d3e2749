"""Submissions through the API, the short worker's child and the Python client."""

import io
import json
import tarfile
from hashlib import sha256
from pathlib import Path
from threading import Event, Thread

import pytest
from typer.testing import CliRunner

from api.protocol import BoundedProtocol
from babylm.client import Client
from babylm.client._sync.submission import build_submission, download_submission
from babylm.client.errors import BabylmError, InvalidUsage
from babylm.main import app as command
from core.events.journal import events_of_types
from core.process.program import python_command
from core.storage.rundir import RunDir
from jobs.notifier import JobNotifier
from jobs.short_tasks import claim_short_task
from tests.api.server import served
from tests.core.submission.conftest import MILESTONES, write_run
from tests.official_files import write_official_files
from tests.statements import statements
from worker.short import ShortRunner


@pytest.fixture
def job_id(world, settings):
    """A finished job; the data directory has two of the official tasks."""
    made = world.running(track="strict-small")
    settings.job_folder(made).parent.mkdir(parents=True, exist_ok=True)
    rundir = write_run(settings.job_folder(made))
    world.record(made, *events_of_types(rundir.journal, "checkpoint"))
    world.end(made)
    written = settings.data_dir / "written"
    write_official_files(written, items=6)
    tasks = settings.data_dir / "evaluations"
    tasks.mkdir()
    (written / "blimp_filtered").rename(tasks / "blimp_fast")
    (written / "comps").rename(tasks / "comps")
    return made


@pytest.fixture
def work(world, settings):
    """Runs all queued short tasks as the short worker does; returns their kinds."""
    name = world.worker("short")
    runner = ShortRunner(
        database=world.database,
        settings=settings,
        job_notifier=JobNotifier(None),
        command=python_command("core.short"),
        shutdown=Event(),
    )

    def run() -> list[str]:
        kinds = []
        while True:
            with world.database.write() as session:
                task = claim_short_task(session, name)
            if task is None:
                return kinds
            kinds.append(task.kind)
            runner.run(task)

    yield run
    runner.close()


def ask(client, job_id, **fields):
    body = {"repository": "user/small"} | fields
    return client.post(f"/v1/jobs/{job_id}/submission", json=body)


def test_a_job_without_a_submission_has_an_empty_list(client, world):
    assert client.get(f"/v1/jobs/{world.job()}/submissions").json() == {"data": []}
    assert client.get(f"/v1/jobs/{'0' * 32}/submissions").status_code == 404


def test_a_submission_evaluates_what_is_missing_and_can_be_downloaded(
    app, client, world, settings, work, job_id, tmp_path
):
    # One test and not four, because starting the child takes most of the time.
    with statements(app.state.context.database.engine) as seen:
        asked = ask(client, job_id)
    assert asked.status_code == 202, asked.text
    # However many evaluations are missing, the write lock is held for the same few statements.
    assert sum(sql.startswith("DELETE FROM short_task ") for sql, _ in seen) == 1
    assert sum("FROM worker" in sql for sql, _ in seen) == 1
    assert asked.json()["unfinished_evaluations"] == len(MILESTONES) + 1
    assert ask(client, job_id).json()["id"] == asked.json()["id"]
    listed = client.get(f"/v1/jobs/{job_id}/submissions").json()["data"]
    assert [each["id"] for each in listed] == [asked.json()["id"]]
    kinds = work()
    assert kinds.count("evaluate") == len(MILESTONES) + 1
    assert kinds[-1] == "submission"
    with statements(app.state.context.database.engine) as seen:
        found = client.get(f"/v1/jobs/{job_id}/submission").json()
    # The results of evaluations are large, so only the result of the submission is read.
    assert sum("short_task.result" in sql for sql, _ in seen) == 1
    assert (found["status"], found["unfinished_evaluations"]) == ("succeeded", 0), found
    report = found["report"]
    assert [each["branch"] for each in report["revisions"]] == [*MILESTONES, "main"]
    missing = {each["task"] for each in report["missing"]}
    assert {"blimp_filtered", "boolq"} <= missing
    assert not {"comps", "blimp_fast"} & missing
    manifest = client.get(f"/v1/jobs/{job_id}/submission/manifest").json()
    folder = RunDir(settings.job_folder(job_id)).submissions / found["id"]
    path = f"/v1/jobs/{job_id}/submission/files/"
    head = client.get(path + ".git/HEAD")
    assert head.content == (folder / ".git" / "HEAD").read_bytes()
    assert head.headers["etag"] == f'"{sha256(head.content).hexdigest()}"'
    assert client.get(path + "../../spec.json").status_code == 404
    _check_archive(client, job_id, folder, manifest, tmp_path)
    with served(app, BoundedProtocol) as port, Client(f"http://127.0.0.1:{port}") as python:
        _check_client(python, job_id, folder, manifest, tmp_path)
        _check_commands(world, f"http://127.0.0.1:{port}", work, job_id, tmp_path)
        world.worker("short")  # the first report of the worker may be too old by now
        # A milestone that is submitted as the final model also needs the full tasks.
        asked = ask(client, job_id, checkpoint="chck_2M").json()
        assert asked["unfinished_evaluations"] == 1
        # The client waits for the report, or raises an error with the reason.
        (RunDir(settings.job_folder(job_id)).checkpoint("chck_2M") / "config.json").unlink()
        with pytest.raises(BabylmError, match=r"chck_2M/config\.json is missing"):
            build_submission(python, job_id, "user/small", sleep=lambda _: work() and None)


def _check_commands(world, url, work, job_id, tmp_path) -> None:
    """`babylm submission` names what is missing; `babylm budget` shows the rules."""
    output, over = tmp_path / "command", Event()

    def run() -> None:
        while not over.wait(0.05):
            work()

    thread = Thread(target=run)
    world.worker("short")
    thread.start()
    try:
        words = ["submission", job_id, "--name", "user/small", "-o", str(output), "--url", url]
        done = CliRunner().invoke(command, [*words, "--no-evaluations"])
    finally:
        over.set()
        thread.join()
    assert done.exit_code == 1
    assert "predictions" in str(done.exception)
    assert "3 branches" in done.output
    assert "missing: boolq of last: has not been fine-tuned" in done.output
    assert (output / "report.json").is_file()
    shown = CliRunner().invoke(command, ["budget", job_id, "--url", url])
    assert shown.exit_code == 0, shown.output
    assert "words seen: kept, 2,500,000 words were read; 100,000,000 are allowed" in shown.output


def _check_archive(client, job_id, folder, manifest, tmp_path) -> None:
    url = f"/v1/jobs/{job_id}/submission/archive"
    whole = client.get(url)
    assert len(whole.content) == int(client.head(url).headers["content-length"])
    rest = client.get(url, headers={"Range": "bytes=1000-"})
    assert (rest.status_code, rest.content) == (206, whole.content[1000:])
    with tarfile.open(fileobj=io.BytesIO(whole.content)) as archive:
        archive.extractall(tmp_path / "archive", filter="data")
    [extracted] = (tmp_path / "archive").iterdir()
    _check_equal(extracted, folder, manifest)


def _check_client(python, job_id, folder, manifest, tmp_path) -> None:
    output = tmp_path / "mine"
    # An interrupted download of another submission has left the folder `mine.part`.
    (tmp_path / "mine.part" / "results").mkdir(parents=True)
    (tmp_path / "mine.part" / "results" / "old.json").write_text("{}")
    (tmp_path / "mine.part" / "report.json").write_text("{}")
    assert download_submission(python, job_id, output) == manifest
    _check_equal(output, folder, manifest)
    assert not (output / "results" / "old.json").exists()
    assert download_submission(python, job_id, output) == manifest
    (output / "manifest.json").write_text("{}")
    with pytest.raises(InvalidUsage, match="exists and is not the newest submission"):
        download_submission(python, job_id, output)


def _check_equal(found: Path, expected: Path, manifest: dict) -> None:
    for file in manifest["files"]:
        assert (found / file["path"]).read_bytes() == (expected / file["path"]).read_bytes()
    for link in manifest["links"]:
        assert str((found / link["path"]).readlink()) == link["target"]
        assert (found / link["path"]).is_file()


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"repository": "small"}, 422, "repository"),
        ({"repository": "user/a--b"}, 422, "must be USER/NAME"),
        ({"checkpoint": "best-7"}, 404, "best-7"),
    ],
)
def test_a_submission_that_cannot_be_is_refused(client, work, job_id, body, status, message):
    answer = ask(client, job_id, **body)
    assert answer.status_code == status
    assert message in json.dumps(answer.json())


def test_a_job_without_a_track_has_no_submission(client, world, work):
    job_id = world.running()
    world.checkpoint(job_id, files={"config.json": b"{}"})
    answer = ask(client, job_id)
    assert answer.status_code == 409
    assert "the track free, which has no milestones" in answer.json()["detail"]
    answer = client.get(f"/v1/jobs/{job_id}/submission")
    assert (answer.status_code, answer.json()["code"]) == (404, "submission_not_found")
