"""Downloads can be resumed, answer HEAD, and refuse invalid ranges with a problem."""

import io
import zipfile

import pytest

from api.downloads import read_range
from api.errors import MEDIA_TYPE, Problem

FILES = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 300, "empty": b""}


@pytest.fixture
def paths(world):
    job_id = world.running()
    world.checkpoint(job_id, files=FILES)
    base = f"/v1/jobs/{job_id}/checkpoints/last"
    return {"file": f"{base}/files/model.safetensors", "archive": f"{base}/archive"}


@pytest.mark.parametrize("kind", ["file", "archive"])
def test_head_is_get_without_a_body(client, paths, kind):
    whole, head = client.get(paths[kind]), client.head(paths[kind])
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "content-type", "etag", "accept-ranges", "content-disposition"):
        assert head.headers[name] == whole.headers[name]
    assert int(head.headers["content-length"]) == len(whole.content)


@pytest.mark.parametrize("kind", ["file", "archive"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_download_resumes_where_it_stopped(client, paths, kind, share):
    whole = client.get(paths[kind])
    begin = int(len(whole.content) * share) + 1
    headers = {"Range": f"bytes={begin}-", "If-Range": whole.headers["etag"]}
    rest = client.get(paths[kind], headers=headers)
    assert rest.status_code == 206
    size = len(whole.content)
    assert rest.headers["content-range"] == f"bytes {begin}-{size - 1}/{size}"
    assert whole.content[:begin] + rest.content == whole.content


def test_each_range_of_an_archive_equals_the_same_bytes_of_the_whole_archive(client, paths):
    whole = client.get(paths["archive"]).content
    assert zipfile.ZipFile(io.BytesIO(whole)).testzip() is None
    parts = [
        client.get(paths["archive"], headers={"Range": f"bytes={at}-{at + 999}"}).content
        for at in range(0, len(whole), 1000)
    ]
    assert b"".join(parts) == whole
    tail = client.get(paths["archive"], headers={"Range": "bytes=-10"})
    assert tail.content == whole[-10:]


@pytest.mark.parametrize("kind", ["file", "archive"])
def test_a_range_of_another_version_gives_the_whole_file(client, paths, kind):
    answer = client.get(paths[kind], headers={"Range": "bytes=5-", "If-Range": '"other"'})
    assert answer.status_code == 200
    assert answer.content == client.get(paths[kind]).content


BAD_RANGES = {
    "bytes=99999999-": 416,
    "bytes=999999999999-9999999999999": 416,
    "bytes=": 400,
    "bytes=-": 400,
    "bytes=x-y": 400,
    "bytes": 400,
    "lines=1-2": 400,
    "bytes=" + "9" * 5000 + "-": 400,
}


@pytest.mark.parametrize("kind", ["file", "archive"])
@pytest.mark.parametrize("given", BAD_RANGES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_range_that_is_invalid_is_a_problem(client, paths, kind, given, method):
    answer = client.request(method, paths[kind], headers={"Range": given})
    assert answer.status_code == BAD_RANGES[given]
    assert answer.headers["content-type"] == MEDIA_TYPE
    if answer.status_code == 416:
        assert answer.headers["content-range"].startswith("bytes */")
    if method == "GET":
        codes = {400: "range_invalid", 416: "range_outside"}
        assert answer.json()["code"] == codes[answer.status_code]


def test_a_file_that_was_removed_is_410(client, world, settings):
    job_id = world.running()
    folder = world.checkpoint(job_id, files=FILES)
    (folder / "config.json").unlink()
    base = f"/v1/jobs/{job_id}/checkpoints/last"
    for path in (f"{base}/files/config.json", f"{base}/archive"):
        assert client.get(path).json()["code"] == "file_gone"


@pytest.mark.parametrize(
    ("given", "found"),
    [("bytes=0-0", (0, 1)), ("bytes=2-", (2, 10)), ("bytes=-3", (7, 10)), ("bytes=5-99", (5, 10))],
)
def test_a_range_is_read(given, found):
    assert read_range(given, 10) == found


@pytest.mark.parametrize("given", ["bytes=3-2", "bytes=10-", "bytes=-0", "bytes=10-11"])
def test_a_range_outside_is_refused(given):
    with pytest.raises(Problem):
        read_range(given, 10)
