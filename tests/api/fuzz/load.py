"""Settings and checks of all fuzzers. BABYLM_FUZZ_REQUESTS is the total number of requests."""

import json
import os
import random

REQUESTS = int(os.environ.get("BABYLM_FUZZ_REQUESTS", "2000"))
SEED = int(os.environ.get("BABYLM_FUZZ_SEED", "14"))
NUM_BYTES = REQUESTS * 6 // 10
NUM_ARCHIVES = REQUESTS * 2 // 10
WARM_UP = 5
"""The first 1 / WARM_UP of the requests fill caches and load code. The growth of memory is measured
after these requests."""
TIMEOUT_SECONDS = 300 + REQUESTS
MEDIA_TYPE = "application/problem+json"


def mutated(source: random.Random, content: bytes, *, most: int = 8) -> bytes:
    """The content with some bytes replaced, removed, repeated or inserted."""
    data = bytearray(content)
    for _ in range(source.randint(1, most)):
        at = source.randrange(len(data) + 1)
        match source.randrange(5):
            case 0 if at < len(data):
                data[at] = source.randrange(256)
            case 1:
                del data[at : at + source.randint(1, 20)]
            case 2:
                data[at:at] = data[at : at + source.randint(1, 200)]
            case 3:
                data[at:at] = source.choice(TOKENS)
            case _ if at < len(data):
                data[at] ^= 1 << source.randrange(8)
    return bytes(data)


TOKENS = [
    *(
        b"\0",
        b"\xff\xfe",
        b"\r\n",
        b"\r\n\r\n",
        b"../",
        b"%00",
        b"%2e%2e%2f",
        b'"',
        b"{",
        b"[" * 50,
    ),
    *(b"NaN", b"1e999", b"-1", b"9" * 400, b"\\ud800", b"chunked", b"A" * 5000, "\u202e".encode()),
]


def check_answer(answer: bytes, *, is_head: bool, secrets: list[str]) -> int:
    """Checks an answer by the rules that hold for all answers; returns its status."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    assert status < 500 or status == 503, answer[:2000]
    for secret in ("Traceback", *secrets):
        assert secret.encode() not in answer, answer[:2000]
    if status == 503 and b'{"status":"unavailable"' in body:  # /readyz sends no problem document
        return status
    if status >= 400 and not is_head and b"transfer-encoding: chunked" not in head.lower():
        assert f"content-type: {MEDIA_TYPE}".encode() in head.lower(), answer[:2000]
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        problem = json.loads(body[:length])
        assert problem["status"] == status
        assert status != 503 or b"retry-after:" in head.lower() or problem["code"] == "no_worker"
    return status
