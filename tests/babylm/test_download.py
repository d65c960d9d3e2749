import hashlib

import pytest

from babylm.client import BabylmError, InvalidUsage
from babylm.client._sync.download import download_checkpoint
from babylm.client.choose import choose_checkpoint, choose_milestones
from tests.babylm.conftest import error_of
from tests.babylm.stub import Answer, ranged

CONTENT = bytes(range(256)) * 2000
FILES = "GET /v1/jobs/j/checkpoints/last/files/"


def checkpoint(content: bytes = CONTENT, path: str = "model.safetensors") -> dict:
    digest = hashlib.sha256(content).hexdigest()
    return {
        "name": "last",
        "step": 3,
        "files": [{"path": path, "size": len(content), "sha256": digest}],
    }


def fetch(client, chosen, folder):
    gained = []
    paths = download_checkpoint(
        client, "j", chosen, folder, advance=gained.append, sleep=lambda _: None
    )
    return paths, sum(gained)


def ranges(stub):
    return [request.headers.get("range") for request in stub.requests]


def test_a_download_writes_complete_files_only_below_the_folder(stub, client, tmp_path):
    stub.routes[FILES + "sub/model.safetensors"] = ranged(CONTENT)
    paths, gained = fetch(client, checkpoint(path="sub/model.safetensors"), tmp_path)
    assert paths == [tmp_path / "sub/model.safetensors"]
    assert paths[0].read_bytes() == CONTENT
    assert gained == len(CONTENT)
    assert [path.name for path in paths[0].parent.iterdir()] == ["model.safetensors"]


def test_a_broken_download_continues_where_it_broke(stub, client, tmp_path):
    stub.routes[FILES + "model.safetensors"] = [
        ranged(CONTENT, cut_after=100_000),
        Answer(503, {}),
        ranged(CONTENT),
    ]
    paths, gained = fetch(client, checkpoint(), tmp_path)
    assert paths[0].read_bytes() == CONTENT
    assert gained == len(CONTENT)
    assert ranges(stub)[0] is None
    begin = int(ranges(stub)[2].removeprefix("bytes=").removesuffix("-"))
    assert 0 < begin <= 100_000


def test_a_part_of_an_earlier_call_is_continued(stub, client, tmp_path):
    (tmp_path / "model.safetensors.part").write_bytes(CONTENT[:1234])
    stub.routes[FILES + "model.safetensors"] = ranged(CONTENT)
    paths, gained = fetch(client, checkpoint(), tmp_path)
    assert paths[0].read_bytes() == CONTENT
    assert (gained, ranges(stub)) == (len(CONTENT), ["bytes=1234-"])


def test_a_part_of_another_file_is_replaced(stub, client, tmp_path):
    (tmp_path / "model.safetensors.part").write_bytes(b"x" * 1234)
    stub.routes[FILES + "model.safetensors"] = ranged(CONTENT)
    paths, gained = fetch(client, checkpoint(), tmp_path)
    assert paths[0].read_bytes() == CONTENT
    assert (gained, ranges(stub)) == (len(CONTENT), ["bytes=1234-", None])


def test_a_server_without_ranges_sends_it_all_again(stub, client, tmp_path):
    (tmp_path / "model.safetensors.part").write_bytes(CONTENT[:1234])
    stub.routes[FILES + "model.safetensors"] = Answer(200, CONTENT)
    paths, gained = fetch(client, checkpoint(), tmp_path)
    assert (paths[0].read_bytes(), gained) == (CONTENT, len(CONTENT))


def test_a_wrong_checksum_leaves_no_file(stub, client, tmp_path):
    stub.routes[FILES + "model.safetensors"] = ranged(b"y" * len(CONTENT))
    with pytest.raises(BabylmError, match="wrong checksum"):
        fetch(client, checkpoint(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_existing_files_are_not_downloaded_again(stub, client, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(CONTENT)
    _, gained = fetch(client, checkpoint(), tmp_path)
    assert (gained, stub.requests) == (len(CONTENT), [])


def test_a_file_of_the_user_is_never_overwritten(stub, client, tmp_path):
    stub.routes[FILES + "model.safetensors"] = ranged(CONTENT)
    stub.routes[FILES + "README.md"] = ranged(b"card")
    chosen = checkpoint()
    chosen["files"] += checkpoint(b"card", "README.md")["files"]
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine too")
    (tmp_path / "model.safetensors.part").write_bytes(CONTENT[:1234])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InvalidUsage, match=r"would overwrite: README\.md\. Nothing") as raised:
        fetch(client, chosen, tmp_path)
    assert "--replace" in str(raised.value.hint)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert stub.requests == []
    download_checkpoint(client, "j", chosen, tmp_path, replace=True)
    assert (tmp_path / "README.md").read_bytes() == b"card"
    assert (tmp_path / "notes.txt").read_text() == "mine too"
    assert fetch(client, chosen, tmp_path)[1] == len(CONTENT) + 4


def test_a_folder_or_a_link_in_place_of_a_file_is_refused(client, tmp_path):
    (tmp_path / "sub").write_text("mine")
    with pytest.raises(InvalidUsage, match=r"would overwrite: sub/x"):
        fetch(client, checkpoint(path="sub/x"), tmp_path)
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(InvalidUsage, match="would overwrite"):
        fetch(client, checkpoint(), tmp_path)
    (tmp_path / "model.safetensors").rmdir()
    (tmp_path / "model.safetensors").symlink_to("nowhere")
    with pytest.raises(InvalidUsage, match="would overwrite"):
        fetch(client, checkpoint(), tmp_path)


def test_an_empty_file_is_a_file(stub, client, tmp_path):
    stub.routes[FILES + "model.safetensors"] = Answer(200, b"")
    paths, _ = fetch(client, checkpoint(b""), tmp_path)
    assert paths[0].read_bytes() == b""


def test_a_server_without_progress_ends_the_download(stub, client, tmp_path):
    stub.routes[FILES + "model.safetensors"] = Answer(503, {})
    with pytest.raises(BabylmError, match="cannot be fetched") as raised:
        fetch(client, checkpoint(), tmp_path)
    assert "resumes" in str(raised.value.hint)


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "a\\..\\x", "", "a\0"])
def test_a_path_that_leaves_the_folder_is_refused(client, tmp_path, path):
    with pytest.raises(BabylmError, match="outside"):
        fetch(client, checkpoint(path=path), tmp_path)


def test_the_checkpoint_is_the_one_named_else_the_last(stub, client):
    rolling = {"name": "step-000030", "kind": "rolling", "step": 30}
    best = {"name": "best-000020", "kind": "best", "step": 20}
    last = {"name": "last", "kind": "last", "step": 30}
    assert choose_checkpoint([best, last]) is last
    assert choose_checkpoint([rolling, best]) is rolling
    with pytest.raises(BabylmError, match="no checkpoint yet"):
        choose_checkpoint([])
    stub.routes["GET /v1/jobs/aaaa"] = Answer(200, {"id": "aaaa"})
    stub.routes["GET /v1/jobs/aaaa/checkpoints"] = Answer(200, {"data": [last, best]})
    job = client.job("aaaa")
    assert job.checkpoint().data == last
    assert job.checkpoint("best").data == job.checkpoint("best-000020").data == best
    with pytest.raises(BabylmError, match="there are: last, best-000020"):
        job.checkpoint("gone")


def test_all_milestones_are_those_by_words_and_the_last_one():
    known = [
        {"name": name, "kind": kind, "step": step}
        for name, kind, step in (
            ("last", "last", 9),
            ("chck_2M", "milestone", 5),
            ("best", "best", 6),
            ("chck_1M", "milestone", 3),
        )
    ]
    assert [each["name"] for each in choose_milestones(known)] == ["chck_1M", "chck_2M", "last"]
    with pytest.raises(BabylmError, match="no milestone"):
        choose_milestones([known[0], known[2]])


def test_the_command_downloads_every_milestone_into_a_folder_of_its_name(run, stub, tmp_path):
    job = {"id": "0" * 32, "status": "succeeded"}
    known = []
    for number, name in enumerate(("chck_1M", "chck_2M", "last")):
        content = CONTENT[: 100 + number]
        kind = "last" if name == "last" else "milestone"
        known.append(checkpoint(content) | {"name": name, "kind": kind, "step": number})
        path = f"GET /v1/jobs/{job['id']}/checkpoints/{name}/files/model.safetensors"
        stub.routes[path] = ranged(content)
    stub.routes[f"GET /v1/jobs/{job['id']}"] = Answer(200, job)
    stub.routes[f"GET /v1/jobs/{job['id']}/checkpoints"] = Answer(200, {"data": known})
    target = tmp_path / "out"
    options = ["--all-milestones", "-o", str(target), "--url", stub.url]
    result = run("download", job["id"], *options)
    assert "chck_1M, chck_2M, last in" in result.stdout
    sizes = {path.parent.name: path.stat().st_size for path in target.rglob("*.safetensors")}
    assert sizes == {"chck_1M": 100, "chck_2M": 101, "last": 102}
    (target / "last/model.safetensors").write_text("mine")
    (target / "chck_1M/model.safetensors").unlink()
    refused = error_of(run("download", job["id"], *options))
    assert (refused.status, list((target / "chck_1M").iterdir())) == (2, [])
    assert (target / "last/model.safetensors").read_text() == "mine"
    assert run("download", job["id"], *options, "--replace").exit_code == 0
    assert (target / "last/model.safetensors").stat().st_size == 102
    stray = target / "last/model.safetensors"
    inside = run("download", job["id"], "--all-milestones", "-o", stray, "--url", stub.url)
    assert error_of(inside).message.startswith(f"{stray} is a file, ")
    both = run("download", job["id"], "--checkpoint", "last", *options)
    assert both.exit_code == 2
    assert "either --checkpoint or --all-milestones" in " ".join(both.stderr.split())
