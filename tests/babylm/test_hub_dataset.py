"""`babylm datasets add --hub` downloads from a stand-in for the Hub and uploads to the real API."""

import json
import re

import pytest

from babylm.client import Client
from babylm.hub_dataset import _split_by_name, find_files
from core.storage.dataset_origins import DatasetOrigin, read_origins
from tests.babylm.conftest import error_of
from tests.babylm.hub import HubDataset, hub

OLD, NEW = "1" * 40, "2" * 40
ROWS = "".join(json.dumps({"story": f"Story {n}.", "id": n}) + "\n" for n in range(3)).encode()
CORPUS = {
    "README.md": b"---\nlicense: mit\n---\n",
    ".gitattributes": b"",
    "childes.train.txt": b"*MOT:\thello there .\n",
    "extra/gutenberg.train.txt": b"A book of goats.\n",
    "childes.dev.txt": b"*MOT:\tbye .\n",
}
STORIES = {"README.md": b"", "data/train-00000-of-00001.jsonl": ROWS, "data/more.jsonl": ROWS}


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with hub() as running:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", running.url)
        template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        running.datasets["babylm/corpus"] = HubDataset(
            {"main": NEW, "v1": OLD},
            {NEW: CORPUS, OLD: {"old.txt": b"An old text.\n"}},
            {"license": "mit"},
        )
        files = [{"split": "train", "path": "data/train-*"}]
        running.datasets["babylm/stories"] = HubDataset(
            {"main": NEW},
            {NEW: STORIES},
            {"configs": [{"config_name": "default", "data_files": files}], "license": ["a", "b"]},
        )
        yield running


def test_the_files_of_a_split_become_a_dataset_with_their_commit(run, service, server):
    url, data_dir = service
    words = ("datasets", "add", "mine", "--hub", "babylm/corpus", "--split", "train", "--url", url)
    result = run(*words, "--json")
    assert result.exit_code == 0, result.exception
    folder = data_dir / "mine"
    assert (folder / "childes.train.txt").read_bytes() == CORPUS["childes.train.txt"]
    assert (folder / "gutenberg.train.txt").read_bytes() == CORPUS["extra/gutenberg.train.txt"]
    origin = DatasetOrigin(
        repository="babylm/corpus",
        commit=NEW,
        split="train",
        licence="mit",
        files=["childes.train.txt", "gutenberg.train.txt"],
    )
    assert read_origins(folder) == [origin]
    assert json.loads(result.stdout)["origin"] == origin.model_dump()
    again = run(*words, "--replace")
    assert f"from babylm/corpus at commit {NEW}" in again.stdout
    assert len(server.downloads) == 2  # the cache had both files
    with Client(url) as client:
        assert client.dataset("mine")["origins"] == [origin.model_dump()]
        assert client.dataset("mine")["left_out"] == []
        client.call("DELETE", "/v1/datasets/mine/files/childes.train.txt")
        assert client.dataset("mine")["origins"][0]["files"] == ["gutenberg.train.txt"]
        client.call("DELETE", "/v1/datasets/mine/files/gutenberg.train.txt")
    assert not folder.exists()


def test_a_tag_is_resolved_and_a_column_becomes_the_text(run, service, server, tmp_path):
    url, data_dir = service
    old = run("datasets", "add", "old", "--hub", "babylm/corpus", "--revision", "v1", "--url", url)
    assert old.exit_code == 0, old.exception
    (found,) = read_origins(data_dir / "old")
    assert (found.commit, found.revision, found.files) == (OLD, "v1", ["old.txt"])
    words = ("--hub", "babylm/stories", "--column", "story", "--url", url)
    assert run("datasets", "add", "stories", *words).exit_code == 0
    name = "train-00000-of-00001.jsonl"  # the front matter leaves data/more.jsonl out
    lines = (data_dir / "stories" / name).read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"text": f"Story {n}."} for n in range(3)]
    (found,) = read_origins(data_dir / "stories")
    assert (found.column, found.licence, found.files) == ("story", "a, b", [name])
    # A file that the user sends again no longer has this origin.
    (tmp_path / name).write_bytes(b'{"text": "mine"}\n')
    again = run("datasets", "add", "stories", tmp_path / name, "--replace", "--url", url)
    assert again.exit_code == 0, again.exception
    assert read_origins(data_dir / "stories") == []


def test_malformed_rows_of_a_column_are_skipped_or_refuse_the_file(run, service, server, tmp_path):
    url, data_dir = service
    rows = [b'{"story": "A story."}\n'] * 198 + [b"{\n", b"[]\n"]
    files = {"good.jsonl": b"".join(rows), "bad.jsonl": b"".join(rows[1:])}
    for name, content in files.items():
        made = HubDataset({"main": NEW}, {NEW: {name: content}})
        server.datasets[f"babylm/{name.removesuffix('.jsonl')}"] = made
    words = ("--column", "story", "--url", url)
    good = run("datasets", "add", "good", "--hub", "babylm/good", *words)
    assert "good.jsonl: 2 malformed rows are skipped" in good.stderr
    assert (data_dir / "good" / "good.jsonl").read_text() == '{"text": "A story."}\n' * 198
    error = error_of(run("datasets", "add", "bad", "--hub", "babylm/bad", *words))
    assert error.message.startswith("bad.jsonl has 2 malformed rows of 199; the first: line 198 ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--hub", "babylm/none"), "the Hub has no dataset babylm/none, or it is private"),
        (("--hub", "a/b/c"), "'a/b/c' is not a valid name of a dataset on the Hub"),
        (("--hub", "babylm/corpus"), "several splits: train \\(2 files\\), validation"),
        (("--hub", "babylm/corpus", "--split", "x"), "has no split x; it has: train"),
        (("--hub", "babylm/corpus", "--revision", "x"), "has no branch, tag or commit x"),
        (("--hub", "babylm/stories", "--column", "text2"), "no field 'text2'|no column 'text2'"),
        (("--hub", "babylm/stories", "texts"), "either a path or --hub"),
        (("texts", "--split", "train"), "work only with --hub"),
        ((), "either a path or --hub"),
    ],
)
def test_what_cannot_be_added_is_refused_with_the_reason(run, service, server, words, message):
    url, data_dir = service
    error = error_of(run("datasets", "add", "mine", *words, "--url", url))
    assert re.search(message, error.message), error.message
    assert not (data_dir / "mine").exists()


def test_without_internet_the_error_says_how_to_go_on(run, service, server, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    error = error_of(run("datasets", "add", "mine", "--hub", "a/b", "--url", service[0]))
    assert error.message.startswith("the Hugging Face Hub at http://127.0.0.1:9 does not answer")
    assert "hf download --repo-type dataset" in error.hint


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("childes.train.txt", "train"),
        ("data/validation-00000-of-00001.parquet", "validation"),
        ("dev/childes.txt", "validation"),
        ("train_10M/switchboard.test", "test"),
        ("restrained.txt", "train"),
        ("retest.txt", "train"),
    ],
)
def test_the_split_of_a_file_follows_from_a_word_of_its_name(path, split):
    assert _split_by_name(path) == split


FILES = ("more.txt", "data/a.txt", "data/b/c.txt", "data/b/test.txt", "data/train-1.txt")


@pytest.mark.parametrize(
    ("configuration", "files"),
    [
        ({"data_files": "data/*.txt"}, {"data/a.txt", "data/train-1.txt"}),
        ({"data_files": ["more.txt", "./data/b/c.txt"]}, {"more.txt", "data/b/c.txt"}),
        ({"data_files": "**/*-1.txt"}, {"data/train-1.txt"}),
        ({"data_files": "**/more.txt"}, {"more.txt"}),
        ({"data_files": ["data/a*", "data/*.txt"]}, {"data/a.txt", "data/train-1.txt"}),
        ({"data_files": [{"split": "train", "path": ["*", "data/b/c*"]}]}, {FILES[0], FILES[2]}),
        ({"data_dir": "data/b"}, {"data/b/c.txt"}),
        ({"data_dir": "data", "data_files": "b/*"}, {"data/b/c.txt", "data/b/test.txt"}),
    ],
)
def test_the_front_matter_names_files_in_every_form_of_datasets(server, configuration, files):
    card = {"configs": [{"config_name": "default", **configuration}]}
    server.datasets["babylm/forms"] = HubDataset(
        {"main": NEW}, {NEW: dict.fromkeys(FILES, b"")}, card
    )
    found = find_files("babylm/forms", revision=None, split="train")
    assert list(found.sizes) == [path for path in FILES if path in files]
