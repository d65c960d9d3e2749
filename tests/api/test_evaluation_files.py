"""Files of evaluation tasks are checked completely, and published all at the same time."""

import io
import json
import zipfile

import pytest
from typer.testing import CliRunner

from api.protocol import BoundedProtocol
from babylm.main import app as command
from core.export.submission.official import AOA, FAST, FULL
from core.export.submission.official_files import official_files
from tests.api.server import served
from tests.official_files import write_official_files

GOOD = {"sentence_good": "The dogs run.", "sentence_bad": "The dogs runs."}
LINE = json.dumps(GOOD) + "\n"
EWOK = {"Domain": "a", "Context1": "b", "Target1": "c", "Target2": "d"}


def send(client, name: str, content: str | bytes, *, task: str = "mine", **query):
    return client.post(
        f"/v1/evaluations/{task}/files", params={"name": name} | query, content=content
    )


def tasks(client) -> dict:
    return {each["name"]: each for each in client.get("/v1/evaluations").json()["data"]}


def test_official_folders_are_added_by_the_command(app, client, tmp_path, monkeypatch):
    monkeypatch.setattr("babylm.client._sync.upload.PIECE_BYTES", 700)
    monkeypatch.chdir(tmp_path)
    folders = write_official_files(tmp_path / "official", items=4)
    with served(app, BoundedProtocol) as port:
        url = f"http://127.0.0.1:{port}"
        for folder in folders:
            words = ["evaluations", "add", folder.name, str(folder), "--url", url]
            done = CliRunner().invoke(command, words)
            assert done.exit_code == 0, done.output
        listed = CliRunner().invoke(command, ["evaluations", "--json", "--url", url])
    assert {each["name"] for each in json.loads(listed.stdout)} == {each.name for each in folders}
    found = tasks(client)
    for folder in folders:
        assert found[folder.name]["error"] is None
        assert found[folder.name]["paradigms"] == len(list(folder.iterdir()))


def test_official_tasks_say_which_have_files_and_where_they_come_from(client, settings):
    page = client.get("/v1/evaluations/official").json()
    assert page["download"].startswith("https://")
    found = {each["name"]: each for each in page["data"]}
    assert {"blimp_filtered", "blimp_fast", "cdi_childes", "glue_filtered"} <= set(found)
    assert {each["folder"] for each in found.values()} == {None}
    # A submission needs some files both for the final model and for each milestone.
    assert found["reading"]["purposes"] == ["final_model", "milestones"]
    assert found["blimp_fast"]["path"] == "evaluation_data/fast_eval/blimp_fast"
    assert send(client, "a.jsonl", LINE, task="blimp").status_code == 201
    found = {
        each["name"]: each["folder"]
        for each in client.get("/v1/evaluations/official").json()["data"]
    }
    assert {name for name, folder in found.items() if folder} == {"blimp_filtered"}
    assert found["blimp_filtered"] == "blimp"


def test_every_folder_that_a_submission_reads_is_an_official_task():
    names = {files.task.name for files in official_files()}
    assert {task.name for task in (*FULL, *FAST, AOA)} < names


def test_the_sample_and_its_pairs_are_added_once(client, settings):
    answer = client.post("/v1/sample")
    assert answer.status_code == 201
    assert set(answer.json()["datasets"]) <= {
        each["name"] for each in client.get("/v1/datasets").json()["data"]
    }
    assert tasks(client)[answer.json()["evaluations"][0]]["kind"] == "minimal_pairs"
    file = next((settings.data_dir / "sample").iterdir())
    file.write_text("changed\n")
    assert client.post("/v1/sample").status_code == 201
    assert file.read_text() == "changed\n"


def test_an_archive_gives_one_folder(client, settings):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("full/blimp/a.jsonl", LINE)
        archive.writestr("fast/blimp_fast/a.jsonl", LINE * 2)
        archive.writestr("fast/blimp_fast/readme.md", "text")
    refused = send(client, "all.zip", buffer.getvalue())
    assert (refused.status_code, refused.json()["code"]) == (422, "archive_ambiguous")
    done = send(client, "all.zip", buffer.getvalue(), folder="blimp_fast")
    assert (done.status_code, done.json()["files"]) == (201, ["a.jsonl"])
    assert (settings.data_dir / "evaluations" / "mine" / "a.jsonl").read_text() == LINE * 2


@pytest.mark.parametrize(
    ("name", "content", "status", "message"),
    [
        ("b.jsonl", LINE + "{\n", 422, "b.jsonl, line 2 is not JSON"),
        ("b.jsonl", json.dumps(EWOK) + "\n", 422, "b.jsonl is of the kind ewok"),
        ("b.jsonl", "", 422, "b.jsonl contains no item"),
        (
            "b.txt",
            LINE,
            422,
            "b.txt: the ending '.txt' is not that of an evaluation file",
        ),
        ("../b.jsonl", LINE, 422, "../b.jsonl: the name has a '/'. Accepted endings: .jsonl"),
        ("a.jsonl", LINE, 409, "mine has a.jsonl already"),
        ("b.csv", "item,word\n", 422, "mine has .jsonl files, but b.csv has another suffix"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_and_changes_nothing(
    client, settings, name, content, status, message
):
    assert send(client, "a.jsonl", LINE).status_code == 201
    answer = send(client, name, content)
    assert answer.status_code == status, answer.text
    assert message in answer.json()["detail"]
    folder = settings.data_dir / "evaluations" / "mine"
    assert [path.name for path in folder.iterdir()] == ["a.jsonl"]
    assert [path for path in settings.uploads_folder.rglob("*") if path.is_file()] == []


def test_a_file_is_replaced_on_request_and_a_wrong_hash_refused(client, settings):
    send(client, "a.jsonl", LINE)
    wrong = send(client, "a.jsonl", LINE, replace="true", sha256="0" * 64)
    assert (wrong.status_code, wrong.json()["code"]) == (422, "checksum_wrong")
    assert send(client, "a.jsonl", LINE * 3, replace="true").status_code == 201
    file = settings.data_dir / "evaluations" / "mine" / "a.jsonl"
    assert file.read_text() == LINE * 3
