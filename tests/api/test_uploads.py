from hashlib import sha256

import anyio
import httpx2 as httpx
import pytest
from starlette.requests import ClientDisconnect

from api import uploads
from api.app import create_app
from api.errors import Problem
from tests.api.conftest import local_client
from tests.api.sending import TEXT, URL, piece, send, tree


def test_a_text_file_makes_a_dataset(client, settings):
    digest = sha256(TEXT).hexdigest()
    answer = send(client, "childes.train", TEXT, sha256=digest)
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/datasets/mine"
    assert answer.json() == {
        "dataset": "mine",
        "name": "childes.train",
        "received": len(TEXT),
        "size": len(TEXT),
        "files": ["childes.train"],
    }
    assert (settings.data_dir / "mine" / "childes.train").read_bytes() == TEXT
    found = client.get("/v1/datasets/mine").json()
    assert found["sources"] == ["childes"]
    assert found["words"] == 25_000


def test_a_second_file_joins_the_first(client, settings):
    send(client, "childes.train", TEXT)
    assert send(client, "gutenberg.train", TEXT).status_code == 201
    assert client.get("/v1/datasets/mine").json()["sources"] == ["childes", "gutenberg"]
    assert not [path for path in tree(settings.uploads_folder) if not path.startswith("other")]


def test_a_file_uploaded_in_parts_appears_when_it_is_complete(client, settings):
    first = piece(client, "a.txt", TEXT, 0, 50_000)
    assert first.status_code == 202
    assert (first.json()["received"], first.json()["files"]) == (50_000, [])
    assert client.get("/v1/datasets/mine").status_code == 404
    assert client.get("/v1/datasets/mine/uploads").json() == [{"name": "a.txt", "received": 50_000}]
    # If an answer is lost, the client sends bytes again that the service already has.
    assert piece(client, "a.txt", TEXT, 20_000, 50_000).json()["received"] == 50_000
    last = piece(client, "a.txt", TEXT, 50_000, len(TEXT))
    assert (last.status_code, last.json()["files"]) == (201, ["a.txt"])
    assert (settings.data_dir / "mine" / "a.txt").read_bytes() == TEXT
    assert client.get("/v1/datasets/mine/uploads").json() == []


def test_a_piece_that_leaves_a_gap_is_refused_with_the_next_offset(client):
    piece(client, "a.txt", TEXT, 0, 1000)
    answer = piece(client, "a.txt", TEXT, 2000, 3000)
    assert answer.status_code == 409
    assert answer.headers["upload-offset"] == "1000"
    assert answer.json()["code"] == "upload_offset"


@pytest.mark.parametrize(
    "given", ["bytes 0-9/5", "bytes 5-2/9", "bytes 0-9/*", "bytes=0-9", "0-9/10", "bytes 0-98/100"]
)
def test_an_invalid_content_range_is_refused(client, given):
    answer = send(client, "a.txt", b"0123456789", headers={"Content-Range": given})
    assert answer.status_code == 400
    assert answer.json()["code"] == "content_range_invalid"


def test_bytes_received_before_the_connection_broke_are_kept(raw, client, settings):
    class Broken:
        def __init__(self):
            self.left = [TEXT[:30_000], TEXT[30_000:60_000]]

        def __aiter__(self):
            return self

        async def __anext__(self):
            if self.left:
                return self.left.pop(0)
            raise ClientDisconnect

    part = settings.uploads_folder / "mine" / "a.txt.part"
    whole = uploads.Piece(0, len(TEXT), len(TEXT))

    async def call():
        with pytest.raises(Problem) as caught:  # any other error would be logged as a fault
            await uploads.receive(part, whole, Broken(), limit=1 << 30)

        assert (caught.value.status, caught.value.code) == (400, "upload_broken")

    anyio.run(call)
    [found] = client.get("/v1/datasets/mine/uploads").json()
    assert found == {"name": "a.txt", "received": 60_000}
    assert piece(client, "a.txt", TEXT, 60_000, len(TEXT)).status_code == 201
    assert (settings.data_dir / "mine" / "a.txt").read_bytes() == TEXT


def test_two_senders_of_one_file_do_not_mix(client, settings):
    import fcntl

    part = settings.uploads_folder / "mine" / "a.txt.part"
    part.parent.mkdir(parents=True)
    with part.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        answer = send(client, "a.txt", TEXT)
    assert answer.status_code == 409
    assert answer.json()["code"] == "upload_busy"


def test_concurrent_uploads_leave_one_complete_file(app, client, settings):
    async def pieces(content: bytes):
        for begin in range(0, len(content), 20_000):
            yield content[begin : begin + 20_000]
            await anyio.sleep(0)  # lets the other senders continue

    async def send_all() -> list[int]:
        answers = []

        async def one(content: bytes) -> None:
            answer = await sender.post(URL, params={"name": "a.txt"}, content=pieces(content))
            answers.append(answer.status_code)

        transport = httpx.ASGITransport(app=app)
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as sender,
            anyio.create_task_group() as senders,
        ):
            for content in contents:
                senders.start_soon(one, content)
        return answers

    contents = [bytes([letter]) * 200_000 for letter in b"abcd"]
    answers = client.portal.call(send_all)
    assert answers.count(201) == 1, answers
    assert set(answers) <= {201, 409}
    assert (settings.data_dir / "mine" / "a.txt").read_bytes() in contents


def test_a_part_that_another_sender_finished_meanwhile_is_no_error(client, settings):
    folder = settings.uploads_folder / "other"
    folder.mkdir(parents=True)
    # A broken link acts as the file of another sender that is published after the service lists the
    # folder and before it opens the file.
    (folder / "b.txt.part").symlink_to("published-since")
    assert send(client, "a.txt", TEXT).status_code == 201


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"good\n\xff\xfe bad\n", "corpus_encoding"),
        ("text\n".encode("utf-16"), "corpus_encoding"),
        (b"text\n\xc3", "corpus_encoding"),
        (b"\x7fELF\0\0", "corpus_encoding"),
        (b"", "corpus_empty"),
        (b" \n\t\n", "corpus_empty"),
    ],
)
def test_a_file_that_is_not_text_is_refused_and_leaves_nothing(client, settings, content, code):
    before = tree(settings.data_dir)
    answer = send(client, "a.txt", content)
    assert answer.status_code == 422
    assert answer.json()["code"] == code
    assert "a.txt" in answer.json()["detail"]
    assert tree(settings.data_dir) == before


def test_a_wrong_checksum_is_refused_and_leaves_nothing(client, settings):
    before = tree(settings.data_dir)
    answer = send(client, "a.txt", TEXT, sha256="0" * 64)
    assert answer.json()["code"] == "checksum_wrong"
    assert sha256(TEXT).hexdigest() in answer.json()["detail"]
    assert tree(settings.data_dir) == before


@pytest.mark.parametrize(
    "name", ["a.exe", "../a.txt", "a/b.txt", ".txt", "a.txt\n", "", "a.tar.xz"]
)
def test_an_invalid_file_name_is_refused(client, settings, name):
    before = tree(settings.data_dir)
    assert send(client, name, TEXT).status_code == 422
    assert tree(settings.data_dir) == before


@pytest.mark.parametrize("dataset", ["evaluations", "..", "%2e%2e", ".hidden", "a%0a", "%00"])
def test_an_invalid_dataset_name_is_refused(raw, settings, dataset):
    before = tree(settings.data_dir)
    answer = raw.send("POST", f"/v1/datasets/{dataset}/files?name=a.txt", TEXT)
    assert answer.status in (404, 422)
    assert tree(settings.data_dir) == before


def test_a_file_is_overwritten_only_on_request(client, settings, world):
    send(client, "a.txt", TEXT)
    again = send(client, "a.txt", b"new\n")
    assert again.status_code == 409
    assert "replace=true" in again.json()["detail"]
    assert (settings.data_dir / "mine" / "a.txt").read_bytes() == TEXT
    assert send(client, "a.train", b"new\n", replace=True).status_code == 409
    assert send(client, "a.txt", b"new\n", replace=True).status_code == 201
    assert (settings.data_dir / "mine" / "a.txt").read_bytes() == b"new\n"
    world.job()
    busy = send(client, "gutenberg.train", b"new\n", url="/v1/datasets/words/files", replace=True)
    assert busy.json()["code"] == "dataset_in_use"


def test_a_file_beyond_the_limit_is_refused(settings):
    app = create_app(settings.model_copy(update={"upload_bytes": 1 << 21}))
    before = tree(settings.data_dir)
    with local_client(app) as small:
        answer = small.post(f"{URL}?name=a.txt", content=b"x" * ((1 << 21) + 1))
        assert answer.status_code == 413
        headers = {"Content-Range": f"bytes 0-0/{(1 << 21) + 1}"}
        assert send(small, "a.txt", b"x", headers=headers).status_code == 413

        def endless():
            for _ in range(64):
                yield b"x" * (1 << 16)

        assert small.post(f"{URL}?name=b.txt", content=endless()).status_code == 413
        assert small.post(f"{URL}?name=c.txt", content=b"x " * (1 << 20)).status_code == 201
    left = tree(settings.data_dir) - before
    assert "mine/c.txt" in left
    assert not any(path.startswith("mine/") and path != "mine/c.txt" for path in left)


def test_an_upload_need_not_be_json_and_may_be_larger_than_other_bodies(client):
    answer = send(client, "a.txt", b"x y\n" * (1 << 19), headers={"Content-Type": "text/plain"})
    assert answer.status_code == 201
    assert client.post("/v1/jobs", content=b"x" * (1 << 21)).status_code == 413


@pytest.mark.parametrize("name", ["my text.txt", "caf\u00e9.TXT", "0001.cha", "a?b#c%.txt"])
def test_a_text_of_any_printable_name_is_taken(client, settings, name):
    assert send(client, name, TEXT).json()["files"] == [name]
    assert (settings.data_dir / "mine" / name).read_bytes() == TEXT


def test_an_abandoned_part_is_removed_after_a_week(client, settings):
    import os
    import time

    piece(client, "old.txt", TEXT, 0, 10)
    part = settings.uploads_folder / "mine" / "old.txt.part"
    old = time.time() - uploads.KEEP_SECONDS - 1
    os.utime(part, (old, old))
    piece(client, "new.txt", TEXT, 0, 10)
    names = [each["name"] for each in client.get("/v1/datasets/mine/uploads").json()]
    assert names == ["new.txt"]
