"""Archives become datasets; hostile ones are refused and leave nothing."""

import io
import tarfile
import zipfile

import pytest

from api import archives
from tests.api.sending import TEXT, entry, send, tarred, tree, zipped

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


@pytest.mark.parametrize("path", ["../../evil.txt", "/tmp/evil.txt", "a/../../evil.txt"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_path_in_an_archive_is_only_a_name(client, settings, tmp_path, path, kind):
    content = zipped({path: TEXT}) if kind == "zip" else tarred(entry(path, TEXT), mode="w")
    before = tree(tmp_path)
    assert send(client, f"a.{kind}", content).json()["files"] == ["evil.txt"]
    new = {each for each in tree(tmp_path) - before if "sqlite" not in each}
    assert new == {"data/mine/evil.txt"}
