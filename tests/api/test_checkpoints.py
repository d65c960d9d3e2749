import io
import random
import zipfile
from hashlib import sha256

import pytest

from jobs.short_tasks import claim_short_task, fail_short_task, succeed_short_task
from tests.api.short import ShortWorker

WEIGHTS = random.Random(0).randbytes(300_000)
FILES = {"config.json": b'{"a": 1}', "model.safetensors": WEIGHTS, "extra/note.txt": b""}


@pytest.fixture
def job_id(world):
    made = world.running()
    world.checkpoint(made, "step-3", step=3, files=FILES)
    world.checkpoint(made, "last", step=5, files=FILES)
    return made


def test_checkpoints_are_listed_with_their_files(client, job_id):
    found = client.get(f"/v1/jobs/{job_id}/checkpoints").json()["data"]
    assert [each["name"] for each in found] == ["step-3", "last"]
    last = found[-1]
    assert last["bytes"] == sum(len(content) for content in FILES.values())
    assert {file["path"]: file["sha256"] for file in last["files"]} == {
        path: sha256(content).hexdigest() for path, content in FILES.items()
    }


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_complete_and_its_etag_is_its_hash(client, job_id, path):
    answer = client.get(f"/v1/jobs/{job_id}/checkpoints/last/files/{path}")
    assert answer.content == FILES[path]
    assert answer.headers["etag"] == f'"{sha256(FILES[path]).hexdigest()}"'
    assert answer.headers["content-length"] == str(len(FILES[path]))
    assert answer.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    ("given", "begin", "end"),
    [("0-0", 0, 1), ("100-199", 100, 200), ("299990-", 299_990, 300_000), ("-7", 299_993, 300_000)],
)
def test_a_range_is_that_part(client, job_id, given, begin, end):
    path = f"/v1/jobs/{job_id}/checkpoints/last/files/model.safetensors"
    answer = client.get(path, headers={"Range": f"bytes={given}"})
    assert answer.status_code == 206
    assert answer.content == WEIGHTS[begin:end]
    assert answer.headers["content-range"] == f"bytes {begin}-{end - 1}/{len(WEIGHTS)}"


def test_a_range_beyond_the_end_is_416(client, job_id):
    path = f"/v1/jobs/{job_id}/checkpoints/last/files/model.safetensors"
    answer = client.get(path, headers={"Range": "bytes=300000-"})
    assert answer.status_code == 416
    assert "*/300000" in answer.headers["content-range"]


@pytest.mark.parametrize("given", ["bytes=9-1", "lines=1-2", "bytes=x-y", "bytes=--1", "bytes="])
def test_an_invalid_range_is_no_500(client, job_id, given):
    path = f"/v1/jobs/{job_id}/checkpoints/last/files/config.json"
    assert client.get(path, headers={"Range": given}).status_code in (200, 400, 416)


def test_a_range_of_an_old_file_gives_the_whole_new_file(client, job_id):
    path = f"/v1/jobs/{job_id}/checkpoints/last/files/model.safetensors"
    etag = client.get(path).headers["etag"]
    same = client.get(path, headers={"Range": "bytes=10-19", "If-Range": etag})
    assert (same.status_code, same.content) == (206, WEIGHTS[10:20])
    other = client.get(path, headers={"Range": "bytes=10-19", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, WEIGHTS)


def test_resuming_at_any_offset_gives_the_same_bytes(client, job_id):
    path = f"/v1/jobs/{job_id}/checkpoints/last/files/model.safetensors"
    for offset in random.Random(1).sample(range(1, len(WEIGHTS)), 10):
        rest = client.get(path, headers={"Range": f"bytes={offset}-"}).content
        assert sha256(WEIGHTS[:offset] + rest).digest() == sha256(WEIGHTS).digest()


def test_a_file_that_no_row_lists_is_404_though_it_exists(client, settings, job_id):
    folder = settings.job_folder(job_id) / "checkpoints" / "last"
    (folder / "optimizer.pt").write_bytes(b"secret")
    answer = client.get(f"/v1/jobs/{job_id}/checkpoints/last/files/optimizer.pt")
    assert answer.status_code == 404
    assert "config.json" in answer.json()["detail"]


def test_a_file_that_was_removed_a_moment_ago_is_410(client, settings, job_id):
    (settings.job_folder(job_id) / "checkpoints" / "last" / "config.json").unlink()
    base = f"/v1/jobs/{job_id}/checkpoints/last"
    assert client.get(f"{base}/files/config.json").status_code == 410
    assert client.get(f"{base}/archive").status_code == 410


def test_an_archive_contains_the_files_and_announces_its_size(client, job_id):
    answer = client.get(f"/v1/jobs/{job_id}/checkpoints/last/archive")
    assert answer.headers["content-type"] == "application/zip"
    assert len(answer.content) == int(answer.headers["content-length"])
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        content = {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
    assert content == FILES


def test_the_error_for_a_missing_checkpoint_lists_the_existing_ones(client, job_id):
    answer = client.get(f"/v1/jobs/{job_id}/checkpoints/chck_1M/archive")
    assert answer.status_code == 404
    assert "step-3, last" in answer.json()["detail"]


def test_generating_needs_a_short_worker(client, job_id):
    answer = client.post(f"/v1/jobs/{job_id}/checkpoints/last/generate", json={"prompt": "A"})
    assert answer.status_code == 503
    assert answer.json()["code"] == "no_worker"
    assert answer.headers["retry-after"]


def test_generating_gives_the_text_of_the_short_worker(client, world, job_id):
    def write(session, task):
        assert task.request["checkpoint"] == "last"
        assert task.request["max_new_tokens"] == 5
        succeed_short_task(session, task.id, task.attempt, {"text": "Once more"})

    body = {"prompt": "Once", "max_new_tokens": 5}
    with ShortWorker(world, write):
        answer = client.post(f"/v1/jobs/{job_id}/checkpoints/last/generate", json=body)
    assert answer.status_code == 200
    assert answer.json() == {"text": "Once more", "checkpoint": "last"}


@pytest.mark.parametrize(
    ("code", "status"), [("checkpoint_missing", 410), ("time_limit", 504), ("process_died", 500)]
)
def test_each_error_of_the_short_worker_has_a_status(client, world, job_id, code, status):
    from core.events.types import ErrorData

    def fail(session, task):
        error = ErrorData(code=code, message="no text", hint="Try again.")
        fail_short_task(session, task.id, task.attempt, error)

    with ShortWorker(world, fail):
        answer = client.post(f"/v1/jobs/{job_id}/checkpoints/last/generate", json={})
    assert answer.status_code == status
    assert answer.json()["code"] == code
    assert answer.json()["detail"] == "no text. Try again."


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "a", "temperature": -1},
        {"prompt": "a", "max_new_tokens": 0},
        {"prompt": "a", "max_tokens": 5},
        {"prompt": "a" * 20_001},
        {"prompt": 1},
        {"prompt": "a", "seed": 2**63},
    ],
)
def test_generation_that_is_invalid_is_refused_by_field(client, job_id, body):
    answer = client.post(f"/v1/jobs/{job_id}/checkpoints/last/generate", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] in body


def test_a_prompt_of_lone_surrogates_is_refused(raw, job_id):
    path = f"/v1/jobs/{job_id}/checkpoints/last/generate"
    answer = raw.send("POST", path, b'{"prompt": "\\ud800"}')
    assert answer.status in (400, 422)
    assert answer.json()["status"] == answer.status


def test_claimed_means_claimed(world, job_id):
    with world.database.write() as session:
        assert claim_short_task(session, "worker") is None
