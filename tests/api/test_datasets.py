import os
import stat
from pathlib import Path
from urllib.parse import quote

import pytest

from core.corpus.stage import clean_corpus
from jobs.short_tasks import short_task_of_dataset, succeed_short_task
from tests.api.conftest import SPEC, TEXT
from tests.api.short import ShortWorker


def make_report(settings, tmp_path):
    """A function that makes the cleaning report of a task in place of the real short worker."""

    def write(session, task):
        from core.corpus.sources import find_source_files
        from core.spec.corpus import CleanOptions

        assert task.kind == "clean_report"
        report = clean_corpus(
            find_source_files(settings.data_dir / task.dataset),
            options=CleanOptions(),
            output=tmp_path,
            progress=lambda _: None,
            should_stop=lambda: False,
        )
        result = {"report": report.model_dump(mode="json")}
        succeed_short_task(session, task.id, task.attempt, result)

    return write


def wait_for_report(client, name: str) -> dict:
    for _ in range(2000):
        found = client.get(f"/v1/datasets/{name}").json()
        if found["cleaning"]["status"] == "succeeded":
            return found
    raise AssertionError(found)


def test_datasets_are_listed_with_size_and_words(client):
    found = client.get("/v1/datasets").json()["data"]
    assert [each["name"] for each in found] == ["words", "words_dev"]
    words = found[0]
    assert words["sources"] == ["childes", "gutenberg"]
    assert words["bytes"] == sum(len(line) * 20 for line in TEXT.values())
    assert (words["words"], words["is_words_exact"]) == (200, True)


def remove_at_listing(monkeypatch, number, folder, path):
    """Removes a path at the given listing of a folder, like a request of another client."""
    listed = []
    listing = Path.iterdir

    def list_and_remove(self):
        entries = list(listing(self))
        if self == folder:
            listed.append(self)
            if len(listed) == number:
                path.rename(path.parent.parent / "removed")
        return iter(entries)

    monkeypatch.setattr(Path, "iterdir", list_and_remove)


def test_a_dataset_that_is_removed_while_it_is_read_does_not_exist(client, settings, monkeypatch):
    folder = settings.data_dir / "words"
    remove_at_listing(monkeypatch, 2, folder, folder)
    answer = client.get("/v1/datasets/words")
    assert (answer.status_code, answer.json()["code"]) == (404, "corpus_missing")


def test_a_file_that_is_removed_while_its_dataset_is_read_is_left_out(
    client, settings, monkeypatch
):
    folder = settings.data_dir / "words"
    remove_at_listing(monkeypatch, 2, folder, folder / "childes.train")
    answer = client.get("/v1/datasets/words")
    assert [file["name"] for file in answer.json()["files"]] == ["gutenberg.train"]


def test_a_dataset_that_is_removed_while_all_are_listed_is_left_out(client, settings, monkeypatch):
    folder = settings.data_dir / "words"
    remove_at_listing(monkeypatch, 2, folder, folder)
    answer = client.get("/v1/datasets")
    assert [each["name"] for each in answer.json()["data"]] == ["words_dev"]


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/estimate"])
def test_a_file_that_is_removed_while_a_spec_is_checked_does_not_fail_the_request(
    client, settings, monkeypatch, path
):
    removed = settings.data_dir / "words" / "childes.train"
    opening = Path.open

    def remove_and_open(self, *args, **options):
        if self == removed and self.exists():  # another client removes it after it was listed
            self.unlink()
        return opening(self, *args, **options)

    monkeypatch.setattr(Path, "open", remove_and_open)
    answer = client.post(path, json=SPEC)
    assert answer.is_success, answer.text
    assert not removed.exists()


def test_a_dataset_shows_lines_before_and_after_cleaning(client):
    files = {each["name"]: each for each in client.get("/v1/datasets/words").json()["files"]}
    childes = files["childes.train"]
    assert childes["source"] == "childes"
    assert childes["words"] == 120
    first = childes["preview"][0]
    assert first["raw"] == "*MOT:\tyou want the ball ."
    assert first["cleaned"] == "you want the ball."


def test_the_short_worker_makes_the_cleaning_report_once(client, world, settings, tmp_path):
    text = "*MOT:\tyou want it .\n%mor:\tpro v pro\n@Begin\n" * 5
    (settings.data_dir / "words" / "childes.train").write_text(text)
    waiting = client.get("/v1/datasets/words").json()["cleaning"]
    assert (waiting["status"], waiting["words"], waiting["sources"]) == ("queued", None, {})
    with ShortWorker(world, make_report(settings, tmp_path)):
        found = wait_for_report(client, "words")
    cleaning = found["cleaning"]
    dropped = cleaning["sources"]["childes"]["dropped"]
    assert sum(entry["count"] for entry in dropped.values()) >= 10
    assert any("%mor" in line for entry in dropped.values() for line in entry["examples"])
    assert cleaning["words"] == sum(each["words_out"] for each in cleaning["sources"].values())
    assert cleaning["words"] < found["words"]
    # A repeated request gets the same task. After a file has changed, a request gets a new task.
    with world.database.read() as session:
        before = short_task_of_dataset(session, "words").id
    client.get("/v1/datasets/words")
    with world.database.read() as session:
        assert short_task_of_dataset(session, "words").id == before
    (settings.data_dir / "words" / "childes.train").write_text("*MOT:\tno .\n")
    assert client.get("/v1/datasets/words").json()["cleaning"]["status"] == "queued"


def test_a_failed_cleaning_report_gives_the_reason(client, world):
    from core.events.types import ErrorData
    from jobs.short_tasks import fail_short_task

    def fail(session, task):
        error = ErrorData(code="corpus_encoding", message="childes.train is not UTF-8", hint="")
        fail_short_task(session, task.id, task.attempt, error)

    client.get("/v1/datasets/words")
    with ShortWorker(world, fail):
        for _ in range(2000):
            cleaning = client.get("/v1/datasets/words").json()["cleaning"]
            if cleaning["status"] == "failed":
                break
    assert cleaning["error"]["code"] == "corpus_encoding"


def test_words_of_a_large_file_are_estimated_and_said_to_be(client, settings, monkeypatch):
    monkeypatch.setattr("api.corpus.COUNT_BYTES", 1000)
    (settings.data_dir / "words" / "gutenberg.train").write_text("one two three four\n" * 5000)
    words = client.get("/v1/datasets").json()["data"][0]
    assert words["is_words_exact"] is False
    assert words["words"] == pytest.approx(20_120, rel=0.01)


def test_a_dataset_that_does_not_exist_is_404_without_a_path(client, settings):
    for method in ("GET", "DELETE"):
        answer = client.request(method, "/v1/datasets/nowhere")
        assert answer.status_code == 404
        assert "nowhere" in answer.json()["detail"]
        assert str(settings.data_dir) not in answer.text


def test_a_dataset_is_removed_with_its_files(client, settings):
    assert client.delete("/v1/datasets/words").status_code == 204
    assert not (settings.data_dir / "words").exists()
    assert [each["name"] for each in client.get("/v1/datasets").json()["data"]] == ["words_dev"]
    assert client.delete("/v1/datasets/words").status_code == 404


def test_one_file_of_a_dataset_is_removed(client, settings):
    assert client.delete("/v1/datasets/words/files/childes.train").status_code == 204
    assert client.get("/v1/datasets/words").json()["sources"] == ["gutenberg"]
    assert client.delete("/v1/datasets/words/files/childes.train").status_code == 404
    assert client.delete("/v1/datasets/words/files/gutenberg.train").status_code == 204
    assert not (settings.data_dir / "words").exists()


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("words", ""),
        ("words", "/files/childes.train"),
        ("words_dev", ""),
        ("words_dev", "/files/childes.dev"),
    ],
)
def test_a_dataset_that_an_unfinished_job_needs_is_not_removed(client, world, settings, name, path):
    job_id = world.job()
    answer = client.delete(f"/v1/datasets/{name}{path}")
    assert answer.status_code == 409
    assert job_id in answer.json()["detail"]
    assert (settings.data_dir / name).is_dir()
    client.post(f"/v1/jobs/{job_id}/cancel")
    assert client.delete(f"/v1/datasets/{name}{path}").status_code == 204


def test_a_folder_that_was_linked_in_is_only_unlinked(client, settings, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.txt").write_text("my own text\n")
    os.symlink(elsewhere, settings.data_dir / "linked")
    assert client.delete("/v1/datasets/linked").status_code == 204
    assert (elsewhere / "mine.txt").exists()
    assert not stat.S_ISLNK(os.lstat(settings.data_dir).st_mode)
    assert not (settings.data_dir / "linked").is_symlink()


def test_an_estimate_counts_cleaned_words_with_and_without_a_report(
    client, world, settings, tmp_path
):
    before = client.post("/v1/jobs/estimate", json=SPEC).json()["words"]
    client.get("/v1/datasets/words")
    with ShortWorker(world, make_report(settings, tmp_path)):
        found = wait_for_report(client, "words")
    after = client.post("/v1/jobs/estimate", json=SPEC).json()["words"]
    assert before == after == found["cleaning"]["words"] < found["words"]


def test_an_estimate_names_the_milestones_that_will_not_be_reached(client, settings):
    """Cleaning drops 2 of the 10 words of a line, so ten epochs see only 10 million words."""
    text = "*MOT:\tone two three four five six seven eight .\n" * 125_000
    (settings.data_dir / "words" / "childes.train").write_text(text)
    spec = {
        "track": "strict-small",
        "data": {"dataset": "words", "validation": None, "sources": ["childes"]},
        "training": {"epochs": 10.0},
    }
    answer = client.post("/v1/jobs/estimate", json=spec).json()
    assert answer["words_seen"] == pytest.approx(10_000_000, rel=0.001)
    (warning,) = [text for text in answer["warnings"] if "will not be reached" in text]
    assert "chck_20M" in warning
    assert "chck_100M" in warning
    assert "chck_9M" not in warning


@pytest.mark.parametrize("name", [b"caf\xe9.txt", b"my text.txt", b"a\nb.TXT", b"x.cha"])
def test_a_file_of_any_name_is_shown_used_and_removed(client, settings, name):
    with open(os.path.join(os.fsencode(settings.data_dir), b"words", name), "wb") as file:
        file.write(b"some words here\n")
    assert client.get("/v1/datasets").status_code == 200
    found = client.get("/v1/datasets/words").json()
    (shown,) = {file["name"] for file in found["files"]} - {"childes.train", "gutenberg.train"}
    (stem,) = set(found["sources"]) - {"childes", "gutenberg"}
    body = {"preset": "sample", "data": {"dataset": "words", "validation": None, "sources": [stem]}}
    assert client.post("/v1/jobs/estimate", json=body).status_code == 200
    removed = client.delete(f"/v1/datasets/words/files/{quote(shown, safe='')}")
    assert removed.status_code == 204, removed.text
    assert name not in os.listdir(os.fsencode(settings.data_dir / "words"))


def test_files_that_are_left_out_are_named_with_the_reason(client, settings):
    (settings.data_dir / "words" / "readme.md").write_text("# Words\n")
    (left_out,) = client.get("/v1/datasets/words").json()["left_out"]
    assert left_out["name"] == "readme.md"
    assert "no suffix of a text" in left_out["reason"]


def test_a_job_on_a_git_lfs_pointer_is_refused_with_the_kind_of_the_file(client, settings):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    (settings.data_dir / "words" / "childes.train").write_text(pointer)
    body = {"preset": "sample", "data": {"dataset": "words", "validation": None}}
    refused = client.post("/v1/jobs", json=body)
    assert refused.status_code == 422
    assert "childes.train is a Git LFS pointer" in refused.json()["detail"]
    assert str(settings.data_dir) not in refused.text
