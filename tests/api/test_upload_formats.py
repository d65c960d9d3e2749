"""Uploads of compressed files and of rows (JSON lines, CSV, Parquet), and jobs that use them."""

import gzip
import io
import json
import zipfile

import pytest

from core.corpus.formats import compression

pytest.importorskip("pyarrow")
ROWS = "".join(json.dumps({"content": f"row {i} of it"}) + "\n" for i in range(50)).encode()


def send(client, name, content):
    return client.post("/v1/datasets/mine/files", params={"name": name}, content=content)


def zipped(members):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def test_rows_and_compressed_files_are_taken_alone_and_in_an_archive(client, settings):
    assert send(client, "a.jsonl", ROWS).status_code == 201
    assert send(client, "b.txt.gz", gzip.compress(b"words " * 20, mtime=0)).status_code == 201
    members = {"x/c.csv": b"text\nsome words\n", "x/d.jsonl.gz": gzip.compress(ROWS, mtime=0)}
    answer = send(client, "both.zip", zipped(members))
    assert answer.json()["files"] == ["c.csv", "d.jsonl.gz"]
    assert (settings.data_dir / "mine" / "d.jsonl.gz").read_bytes() == members["x/d.jsonl.gz"]
    files = {each["name"]: each for each in client.get("/v1/datasets/mine").json()["files"]}
    assert (files["b.txt.gz"]["words"], files["b.txt.gz"]["is_words_exact"]) == (20, True)
    assert files["c.csv"]["preview"][0] == {"raw": "some words", "cleaned": "some words"}
    assert files["a.jsonl"]["preview"] == []  # it has no column "text"


@pytest.mark.parametrize(
    ("name", "content", "code", "detail"),
    [
        ("a.jsonl", b"[1, 2]\n", "corpus_damaged", "a.jsonl is no file of JSON lines: line 1"),
        ("a.jsonl", b'{"text": "caf\xe9"}\n', "corpus_encoding", "a.jsonl is not UTF-8"),
        ("a.csv", b"PK\x03\x04" + bytes(30), "corpus_not_text", "a.csv is a zip archive"),
        ("a.parquet", b"no table", "corpus_damaged", "a.parquet does not begin as a .parquet"),
        ("a.txt.gz", b"plain", "corpus_damaged", "a.txt.gz cannot be read as .gz"),
        ("a.txt.gz", gzip.compress(b"words" * 99, mtime=0)[:-9], "corpus_damaged", "ended before"),
        (
            "a.txt.gz",
            gzip.compress(bytes(99), mtime=0),
            "corpus_encoding",
            "a.txt.gz contains a NUL at byte 0, so it is not text",
        ),
        (
            "a.txt.gz",
            gzip.compress(b"a " * (4 << 20), mtime=0),
            "corpus_too_large",
            "a.txt.gz gives more",
        ),
    ],
)
@pytest.mark.parametrize("in_zip", [False, True])
def test_a_file_that_is_not_what_its_name_says_is_refused(
    client, settings, monkeypatch, name, content, code, detail, in_zip
):
    monkeypatch.setattr(compression, "FREE_BYTES", 1 << 20)
    sent = ("all.zip", zipped({f"x/{name}": content})) if in_zip else (name, content)
    answer = send(client, *sent)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert detail in answer.json()["detail"]
    assert str(settings.data_dir) not in answer.text
    assert not (settings.data_dir / "mine").exists()


def test_a_column_that_is_missing_is_refused_at_submit_with_those_that_exist(client):
    assert send(client, "a.jsonl.gz", gzip.compress(ROWS, mtime=0)).status_code == 201
    data = {"dataset": "mine", "validation": None}
    answer = client.post("/v1/jobs", json={"preset": "sample", "data": data})
    assert answer.status_code == 422
    assert "a.jsonl.gz has no column 'text'; it has: 'content'" in answer.json()["detail"]
    assert "data.text_column" in answer.json()["detail"]
    body = {"preset": "sample", "data": data | {"text_column": "content"}}
    estimate = client.post("/v1/jobs/estimate", json=body).json()
    assert estimate["words"] == 200
    assert client.post("/v1/jobs", json=body).status_code == 201
