"""Sends raw bytes to a real server, which answers each with a success or a problem document."""

import random
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.api.fuzz.load import NUM_BYTES, SEED, TIMEOUT_SECONDS, WARM_UP, check_answer
from tests.api.fuzz.requests import raw_request
from tests.api.fuzz.server import KEY, MAX_GROWTH_BYTES, Server, running_server
from tests.waiting import DEADLINE

THREADS = 8
SILENCE_SECONDS = 1.0
"""Seconds without data after which the client disconnects, because the answer to a damaged request
or a stream may have no end."""
BATCH = 200


def exchange(server: Server, request: bytes, secrets: list[str]) -> int | None:
    """The status of the answer; None if there is no answer."""
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) as connection:
        try:
            connection.sendall(request)
            connection.settimeout(SILENCE_SECONDS)
            while block := connection.recv(1 << 16):
                answer += block
        except (TimeoutError, ConnectionError):
            pass
    if b"\r\n\r\n" not in answer:
        return None
    if answer.startswith(b"HTTP/1.1 100 "):
        answer = answer.partition(b"\r\n\r\n")[2]
        if not answer:
            return None
    is_head = not request.startswith((b"GET ", b"POST ", b"PATCH ", b"DELETE "))
    return check_answer(answer, is_head=is_head, secrets=secrets)


@pytest.mark.timeout(TIMEOUT_SECONDS)
@pytest.mark.parametrize("key", [None, KEY], ids=["without a key", "with a key"])
def test_no_bytes_break_the_server(tmp_path: Path, key: str | None):
    source = random.Random(SEED if key is None else SEED + 1)
    statuses: Counter[int | None] = Counter()
    secrets = [str(tmp_path), *([key] if key else [])]
    with running_server(tmp_path, key=key) as server, ThreadPoolExecutor(THREADS) as threads:

        def send(count: int) -> None:
            for begin in range(0, count, BATCH):
                requests = []
                for _ in range(min(BATCH, count - begin)):
                    is_known = key is not None and source.random() < 0.8
                    headers = [f"Authorization: Bearer {key}"] if is_known else []
                    requests.append(raw_request(source, job_id=server.job_id, headers=headers))
                statuses.update(threads.map(lambda each: exchange(server, each, secrets), requests))

        count = NUM_BYTES // 2
        send(count // WARM_UP)
        before = server.resident_bytes
        send(count - count // WARM_UP)
        growth = server.resident_bytes - before
        assert server.is_healthy()
        log = server.log.read_text(errors="replace")
    print(f"{count:,} requests, {growth / 1e6:.1f} MB: {dict(statuses)}")  # noqa: T201
    assert growth <= MAX_GROWTH_BYTES
    assert "Traceback" not in log, log[-5000:]
    # Most requests get an answer, and the answers have different statuses.
    assert statuses[None] < count / 3
    assert {400, 404, 422} <= set(statuses)
    assert statuses[200] > 0
    assert key is None or statuses[401] > 0
