"""Uploads to the real API over HTTP, and downloads from a small server."""

from hashlib import sha256

import pytest

from babylm.client._sync import upload
from babylm.fetch import fetch_file, name_in
from tests.babylm.conftest import error_of
from tests.babylm.stub import Answer, ranged

TEXT = "".join(f"line {number} of a text\n" for number in range(5000)).encode()


def test_a_folder_becomes_a_dataset_in_pieces(run, service, tmp_path, monkeypatch):
    monkeypatch.setattr(upload, "PIECE_BYTES", 10_000)
    url, data_dir = service
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "childes.train").write_bytes(TEXT)
    (folder / "gutenberg.train").write_bytes(TEXT[:100])
    (folder / "notes.md").write_text("not text for training")
    result = run("datasets", "add", "mine", folder, "--url", url)
    assert result.exit_code == 0, result.exception
    assert "left out: notes.md is not accepted" in result.stderr
    assert (data_dir / "mine" / "childes.train").read_bytes() == TEXT
    assert sorted(path.name for path in (data_dir / "mine").iterdir()) == [
        "childes.train",
        "gutenberg.train",
    ]
    listed = run("datasets", "--url", url)
    assert "childes, gutenberg" in listed.stdout
    again = run("datasets", "add", "mine", folder / "childes.train", "--url", url)
    assert "replace=true" in error_of(again).message
    assert run("datasets", "delete", "mine", "--url", url).exit_code == 0
    assert not (data_dir / "mine").exists()


def test_a_refused_name_has_its_cause_first_and_the_rule_only_once(run, service, tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in ("a.pdf", "b.docx", "c"):
        (folder / name).write_text("text")
    result = run("datasets", "add", "mine", folder, "--url", service[0])
    assert error_of(result).message.endswith("has no text file or archive that the service accepts")
    first, *others = result.stderr.splitlines()
    cause = (
        "left out: a.pdf is not accepted: the ending '.pdf' is not that of a text or an archive."
    )
    assert first.startswith(f"{cause} Accepted endings: .train.txt, ")
    assert others == [
        "left out: b.docx is not accepted: the ending '.docx' is not that of a text or an archive",
        "left out: c is not accepted: the name has no ending of a text or an archive",
    ]
    alone = error_of(run("datasets", "add", "mine", folder / "a.pdf", "--url", service[0]))
    assert alone.message.startswith("a.pdf: the ending '.pdf' is not that of a text or an archive.")
    assert alone.message.count("a.pdf") == 1


def test_a_tree_of_files_and_a_saved_dataset_are_sent(run, service, tmp_path):
    url, data_dir = service
    for name in ("Brown/Adam/01.cha", "Brown/Eve/01.cha", "Brown/Eve/02.cha"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("*MOT:\tmore .\n")
    result = run("datasets", "add", "mine", tmp_path / "Brown", "--url", url)
    assert result.exit_code == 0, result.exception
    names = sorted(path.name for path in (data_dir / "mine").iterdir())
    assert names == ["02.cha", "Adam-01.cha", "Eve-01.cha"]
    for split in ("train", "test"):
        (tmp_path / "saved" / split).mkdir(parents=True)
        (tmp_path / "saved" / split / "data-00000-of-00001.arrow").write_bytes(b"ARROW1 and more")
        (tmp_path / "saved" / split / "state.json").write_text("{}")
    (tmp_path / "saved" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    refused = run("datasets", "add", "hub", tmp_path / "saved", "--url", url)
    assert "test, train" in error_of(refused).message
    result = run("datasets", "add", "hub", tmp_path / "saved", "--folder", "train", "--url", url)
    assert result.exit_code == 0, result.exception
    assert "state.json is not accepted" in result.stderr
    assert [path.name for path in (data_dir / "hub").iterdir()] == ["data-00000-of-00001.arrow"]


def test_an_upload_continues_where_it_stopped(run, service, tmp_path, monkeypatch):
    from babylm.client import Client

    url, data_dir = service
    file = tmp_path / "a.txt"
    file.write_bytes(TEXT)
    with Client(url) as client:
        headers = {"Content-Range": f"bytes 0-49999/{len(TEXT)}"}
        client.call(
            "POST",
            "/v1/datasets/mine/files?name=a.txt",
            content=TEXT[:50_000],
            headers=headers,
        )
        gained = []
        client.upload("mine", file, advance=gained.append)
    assert gained == [50_000, len(TEXT) - 50_000]
    assert (data_dir / "mine" / "a.txt").read_bytes() == TEXT


def test_a_path_that_cannot_be_uploaded_is_a_usage_error(run, tmp_path):
    assert error_of(run("datasets", "add", "mine", tmp_path / "none")).status == 2
    (tmp_path / "empty").mkdir()
    assert error_of(run("datasets", "add", "mine", tmp_path / "empty")).status == 2


def test_a_download_survives_a_broken_connection(stub, tmp_path):
    whole, broken = ranged(TEXT), ranged(TEXT, cut_after=30_000)

    def with_tag(answer):
        def tagged(request):
            given = answer(request)
            given.headers["ETag"] = '"one"'
            return given

        return tagged

    stub.routes["GET /data.txt"] = [with_tag(broken), with_tag(whole)]
    target = tmp_path / "data.txt"
    gained: list[int] = []
    digest = sha256(TEXT).hexdigest()
    found = fetch_file(
        f"{stub.url}/data.txt", target, sha256=digest, advance=gained.append, sleep=lambda _: None
    )
    assert target.read_bytes() == TEXT
    assert (found.size, found.sha256) == (len(TEXT), digest)
    assert sum(gained) == len(TEXT)
    second = stub.requests[1].headers
    assert (second["range"], second["if-range"]) == ("bytes=30000-", '"one"')
    assert [path.name for path in tmp_path.iterdir()] == ["data.txt"]


def test_without_a_strong_tag_a_download_begins_again(stub, tmp_path):
    stub.routes["GET /data.txt"] = [ranged(TEXT, cut_after=30_000), ranged(TEXT)]
    target = tmp_path / "data.txt"
    fetch_file(f"{stub.url}/data.txt", target, sleep=lambda _: None)
    assert target.read_bytes() == TEXT
    assert "range" not in stub.requests[1].headers


def test_a_wrong_checksum_leaves_nothing(run, stub, tmp_path):
    stub.routes["GET /data.txt"] = Answer(200, TEXT)
    result = run("datasets", "download", f"{stub.url}/data.txt", "--sha256", "0" * 64)
    assert sha256(TEXT).hexdigest() in error_of(result).message
    assert list(tmp_path.iterdir()) == []


def test_a_download_overwrites_no_other_file(run, stub, tmp_path):
    stub.routes["GET /data.txt"] = Answer(200, TEXT)
    words = ("datasets", "download", f"{stub.url}/data.txt")
    (tmp_path / "data.txt").write_text("mine")
    for more in ((), ("--sha256", sha256(TEXT).hexdigest())):
        error = error_of(run(*words, *more))
        assert (error.status, "would overwrite it" in error.message) == (2, True)
    assert ((tmp_path / "data.txt").read_text(), stub.requests) == ("mine", [])
    assert run(*words, "--replace").exit_code == 0
    assert (tmp_path / "data.txt").read_bytes() == TEXT
    again = run(*words, "--sha256", sha256(TEXT).hexdigest().upper(), "--json")
    assert (again.exit_code, len(stub.requests)) == (0, 1)


def test_the_message_names_a_missing_file_or_dataset(run, stub):
    result = run("datasets", "download", f"{stub.url}/none.txt")
    assert "404" in error_of(result).message


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://a/b", "data.txt", "http:///x"])
def test_only_addresses_of_the_web_are_fetched(run, address):
    assert error_of(run("datasets", "download", address)).status == 2


def test_a_name_comes_from_the_end_of_the_address():
    assert name_in("https://example.org/a/babylm%20data.zip?download=1") == "babylm data.zip"


def test_the_cache_is_listed_and_pruned(run, tmp_path):
    from core.storage.cache import Cache

    cache = Cache(tmp_path / "runs" / "cache")
    cache.get("clean", "a" * 32, lambda folder: (folder / "x").write_bytes(b"x" * 500) and None)
    cache.release()
    assert '"bytes": 500' in run("cache", "list", "--json").stdout
    assert "0 results" in run("cache", "prune", BABYLM_CACHE_BYTES="500").stdout
    assert "1 results" in run("cache", "prune").stdout
    assert cache.entries() == []


def test_an_evaluation_is_waited_for(run, stub):
    job = {"id": "0" * 32, "status": "running"}
    waiting = {"id": "e", "status": "queued", "progress": 0.0}
    paradigm = {"name": "island", "pairs": 4, "score": 0.75, "strict_score": 0.5}
    done = waiting | {"status": "succeeded", "progress": 1.0, "score": 0.75, "strict_score": 0.5}
    done |= {"pairs": 4, "paradigms": [paradigm]}
    base = f"/v1/jobs/{job['id']}"
    stub.routes |= {
        f"GET {base}": Answer(200, job),
        f"GET {base}/checkpoints": Answer(200, {"data": [{"name": "last", "step": 1}]}),
        f"POST {base}/checkpoints/last/evaluations": Answer(202, waiting),
        f"GET {base}/evaluations": Answer(200, {"data": [done]}),
    }
    result = run("evaluate", job["id"], "--checkpoint", "last", "--url", stub.url)
    assert "island" in result.stdout
    assert "75.00%" in result.stdout
    assert stub.requests[2].body == {"task": "blimp"}
