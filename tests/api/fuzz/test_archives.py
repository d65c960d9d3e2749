"""Sends damaged archives to a real server, which publishes or refuses them in bounded memory."""

import io
import random
import tarfile
import zipfile
from collections import Counter
from http.client import HTTPConnection
from pathlib import Path

import pytest

from api.errors import MEDIA_TYPE
from tests.api.fuzz.load import NUM_ARCHIVES, SEED, TIMEOUT_SECONDS, WARM_UP, mutated
from tests.api.fuzz.server import MAX_GROWTH_BYTES, running_server
from tests.api.sending import TEXT, entry, tarred, zipped
from tests.api.test_archives import DAMAGED, DAMAGED_ZIPS, NOT_REGULAR
from tests.api.test_uploaded_archives import HOSTILE
from tests.waiting import DEADLINE

Archive = tuple[str, bytes]


def archives() -> list[Archive]:
    """Good and hostile archives of each kind, to be damaged further."""
    members = [entry("a/x.txt", TEXT[:5000]), entry("b" * 150 + "/y.train", TEXT[:100])]
    found: list[Archive] = [("a.zip", zipped({"a/x.txt": TEXT[:5000], "y.train": TEXT[:100]}))]
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        for name, mode in (("a.tar", "w"), ("a.tgz", "w:gz")):
            found.append((name, _tar(members, form, mode)))
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        found.append(("a.zip", _zip(method)))
    found += [("a.tar", content) for content in (DAMAGED | NOT_REGULAR).values()]
    found += [("a.zip", content) for content in DAMAGED_ZIPS.values()]
    found += [(name, content) for name, content, _ in HOSTILE.values() if len(content) < 1 << 20]
    found += [("a.tar.gz", tarred(entry("a.txt", TEXT)))] * 5  # so that some are read to the end
    return found


def _tar(members: list[tuple[tarfile.TarInfo, bytes]], form: int, mode: str) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


def _zip(method: int) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.writestr("a.txt", TEXT[:5000])
    return target.getvalue()


@pytest.mark.timeout(TIMEOUT_SECONDS)
def test_no_archive_breaks_the_server(tmp_path: Path):
    source = random.Random(SEED)
    found, statuses, codes = archives(), Counter[int](), Counter[str]()
    with running_server(tmp_path) as server:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)

        def send(count: int) -> None:
            for _ in range(count):
                name, content = source.choice(found)
                content = mutated(source, content) if source.random() < 0.8 and content else content
                url = f"/v1/datasets/fuzzed/files?name={name}&replace=true"
                connection.request("POST", url, content)
                answer = connection.getresponse()
                body = answer.read()
                statuses[answer.status] += 1
                assert answer.status in (201, 409, 413, 422), (answer.status, body)
                if answer.status >= 400:
                    assert answer.headers["content-type"] == MEDIA_TYPE
                    codes[body.partition(b'"code": "')[2].partition(b'"')[0].decode()] += 1
                    assert str(tmp_path).encode() not in body

        send(NUM_ARCHIVES // WARM_UP)
        before = server.resident_bytes
        send(NUM_ARCHIVES - NUM_ARCHIVES // WARM_UP)
        growth = server.resident_bytes - before
        connection.close()
        assert server.is_healthy()
        log = server.log.read_text(errors="replace")
    print(f"{NUM_ARCHIVES:,} archives, {growth / 1e6:.1f} MB: {dict(statuses | codes)}")  # noqa: T201
    assert growth <= MAX_GROWTH_BYTES
    assert "Traceback" not in log, log[-5000:]
    assert statuses[201] > 0
    assert codes["archive_invalid"] > 0
    # Nothing of a refused archive is left.
    assert {path.suffix for path in (tmp_path / "data" / "fuzzed").iterdir()} <= {".txt", ".train"}
    assert not [path for path in (tmp_path / "data" / ".uploads").rglob("*") if path.is_file()]
