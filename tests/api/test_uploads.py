import io
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path

import anyio
import httpx2 as httpx
import pytest
from starlette.requests import ClientDisconnect

from api import archives, uploads
from api.app import create_app
from tests.api.conftest import local_client

TEXT = "".join(f"line {number} of a text\n" for number in range(5000)).encode()
URL = "/v1/datasets/mine/files"


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def send(client, name, content, *, url=URL, headers=None, **query):
    return client.post(url, params={"name": name, **query}, content=content, headers=headers)


def piece(client, name, content: bytes, begin: int, end: int, **query):
    headers = {"Content-Range": f"bytes {begin}-{end - 1}/{len(content)}"}
    return send(client, name, content[begin:end], headers=headers, **query)


def zipped(members: dict[str, bytes], **options) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def tarred(*entries: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


def entry(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(content), link
    return info, content


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
    # After a lost answer the client sends the same piece again.
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
        with pytest.raises(ClientDisconnect):
            await uploads.receive(part, whole, Broken(), limit=1 << 30)

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
            await anyio.sleep(0)  # the other senders continue

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
    # Listed but missing: another sender published the part in between.
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
def test_a_file_name_of_no_use_is_refused(client, settings, name):
    before = tree(settings.data_dir)
    assert send(client, name, TEXT).status_code == 422
    assert tree(settings.data_dir) == before


@pytest.mark.parametrize("dataset", ["evaluations", "..", "%2e%2e", ".hidden", "a%0a", "%00"])
def test_a_dataset_name_of_no_use_is_refused(raw, settings, dataset):
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


def test_an_upload_needs_no_json_and_other_routes_keep_their_limit(client):
    answer = send(client, "a.txt", b"x y\n" * (1 << 19), headers={"Content-Type": "text/plain"})
    assert answer.status_code == 201
    assert client.post("/v1/jobs", content=b"x" * (1 << 21)).status_code == 413


OFFICIAL = {
    "train_10M/childes.train": b"*MOT:\tyou .\n",
    "train_10M/gutenberg.train": b"The dog.\n",
    "train_10M/README.md": b"# not text for training",
    "dev/childes.dev": b"*MOT:\tno .\n",
    "__MACOSX/train_10M/._childes.train": b"\0\0\0",
}


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar"])
def test_a_folder_of_an_archive_becomes_a_dataset(client, settings, kind):
    if kind == "zip":
        content = zipped(OFFICIAL)
    else:
        mode = "w:gz" if kind == "tar.gz" else "w"
        content = tarred(*(entry(*each) for each in OFFICIAL.items()), mode=mode)
    before = tree(settings.data_dir)
    both = send(client, f"data.{kind}", content)
    assert both.status_code == 422
    assert both.json()["code"] == "archive_ambiguous"
    assert tree(settings.data_dir) == before
    answer = send(client, f"data.{kind}", content, folder="train_10M")
    assert answer.status_code == 201, answer.text
    assert answer.json()["files"] == ["childes.train", "gutenberg.train"]
    assert tree(settings.data_dir) - before == {"mine/childes.train", "mine/gutenberg.train"}
    none = send(client, f"data.{kind}", content, folder="test")
    assert none.json()["code"] == "archive_empty"


def symlink_in_zip() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        info = zipfile.ZipInfo("a.txt")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return target.getvalue()


def encrypted_zip() -> bytes:
    content = bytearray(zipped({"a.txt": b"text\n"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    return bytes(content)


def zip_of_many() -> bytes:
    return zipped({f"{number}.md": b"" for number in range(archives.MAX_MEMBERS + 1)})


HOSTILE = {
    "a symlink in a zip": ("z.zip", symlink_in_zip(), "archive_invalid"),
    "an encrypted member": ("z.zip", encrypted_zip(), "archive_invalid"),
    "no zip": ("z.zip", b"PK\x03\x04 nothing", "archive_invalid"),
    "an empty file": ("z.zip", b"", "archive_invalid"),
    "half a zip": ("z.zip", zipped(OFFICIAL)[:-40], "archive_invalid"),
    "too many members": ("z.zip", zip_of_many(), "archive_too_large"),
    "two of one name": (
        "z.zip",
        zipped({"a/x.txt": b"a\n", "b/x.txt": b"b\n"}),
        "archive_ambiguous",
    ),
    "binary text": ("z.zip", zipped({"a.txt": b"\0\1\2"}), "corpus_encoding"),
    "nothing of use": ("z.zip", zipped({"a.md": b"# a"}), "archive_empty"),
    "a bomb in a zip": ("z.zip", zipped({"a.txt": b" " * (200 << 20)}), "archive_too_large"),
    "a symlink": (
        "t.tar",
        tarred(entry("a.txt", kind=tarfile.SYMTYPE, link="/etc/passwd"), mode="w"),
        "archive_invalid",
    ),
    "a hard link": (
        "t.tar",
        tarred(entry("a.txt", kind=tarfile.LNKTYPE, link="../secret"), mode="w"),
        "archive_invalid",
    ),
    "a device": (
        "t.tar",
        tarred(entry("a.txt", kind=tarfile.CHRTYPE), mode="w"),
        "archive_invalid",
    ),
    "a fifo": ("t.tar.gz", tarred(entry("a.txt", kind=tarfile.FIFOTYPE)), "archive_invalid"),
    "half a tar": ("t.tar.gz", tarred(entry("a.txt", TEXT))[:-4000], "archive_invalid"),
    "no tar": ("t.tar", b"x" * 2048, "archive_invalid"),
    "a bomb in a tar": ("t.tgz", tarred(entry("a.txt", b" " * (200 << 20))), "archive_too_large"),
    "a bomb that is skipped": (
        "t.tgz",
        tarred(entry("a.bin", b" " * (200 << 20))),
        "archive_too_large",
    ),
    "a header that is too long": (
        "t.tar",
        tarred(entry("a.txt", b" " * (2 << 20), kind=tarfile.XHDTYPE), mode="w"),
        "archive_invalid",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(client, settings, tmp_path, name):
    file, content, code = HOSTILE[name]
    (tmp_path / "secret").write_text("canary")
    before = tree(tmp_path)
    answer = send(client, file, content)
    assert answer.status_code in (413, 422), answer.text
    assert answer.json()["code"] == code, answer.text
    assert tree(tmp_path) - before <= {"runs/babylm.sqlite3-wal", "runs/babylm.sqlite3-shm"}


WILD = {
    "data\\train\\my notes.TXT": "my notes.TXT",
    "caf\u00e9.txt": "caf\u00e9.txt",
    "a/0001.cha": "0001.cha",
    "2591.txt.utf-8": "2591.txt.utf-8",
}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_of_any_name_are_used_and_others_are_named(client, settings, kind):
    content = dict.fromkeys(WILD, TEXT) | {"a/readme.md": b"# a\n", "a/.b.txt": b"b\n"}
    if kind == "zip":
        archive = zipped(content)
    else:
        archive = tarred(*(entry(*each) for each in content.items()), mode="w")
    answer = send(client, f"a.{kind}", archive)
    assert answer.status_code == 201, answer.text
    assert set(answer.json()["files"]) == set(WILD.values())
    assert {each["name"] for each in answer.json()["left_out"]} == {"a/readme.md", "a/.b.txt"}
    assert {path.name for path in (settings.data_dir / "mine").iterdir()} == set(WILD.values())


def test_a_latin1_name_in_a_tar_is_used(client):
    info, content = entry("caf\udce9.txt", TEXT)
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(content))
    assert send(client, "a.tar", target.getvalue()).json()["files"] == ["caf\\xe9.txt"]
    assert client.get("/v1/datasets/mine").json()["sources"] == ["caf\\xe9"]


@pytest.mark.parametrize("name", ["my text.txt", "caf\u00e9.TXT", "0001.cha", "a?b#c%.txt"])
def test_a_text_of_any_printable_name_is_taken(client, settings, name):
    assert send(client, name, TEXT).json()["files"] == [name]
    assert (settings.data_dir / "mine" / name).read_bytes() == TEXT


@pytest.mark.parametrize("path", ["../../evil.txt", "/tmp/evil.txt", "a/../../evil.txt"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_path_in_an_archive_is_only_a_name(client, settings, tmp_path, path, kind):
    content = zipped({path: TEXT}) if kind == "zip" else tarred(entry(path, TEXT), mode="w")
    before = tree(tmp_path)
    assert send(client, f"a.{kind}", content).json()["files"] == ["evil.txt"]
    new = {each for each in tree(tmp_path) - before if "sqlite" not in each}
    assert new == {"data/mine/evil.txt"}


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
