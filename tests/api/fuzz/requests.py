"""Random raw requests: some are valid, some have hostile values, and some have damaged bytes."""

import json
import random
import re
from collections.abc import Callable

from core.spec.job import JobSpec
from tests.api.conftest import SPEC
from tests.api.fuzz.load import mutated
from tests.api.routes import EXAMPLES, routes
from tests.api.test_problems import BODIES, NAMES

QUERIES = [
    *("", "?limit=1", "?limit=0", "?after=%00", "?after=99999999999999999999", "?status=queued"),
    *("?tag=" + "a" * 300, "?search=%ff%00'%22", "?follow=true&tail=0", "?names=train/loss%0a"),
    *("?" + "a=1&" * 3000, "?jobs=" + "0" * 32, "?format=csv", "?max_points=-1", "?%", "?=&=&;"),
    *("?name=a.txt", "?name=..%2fa.txt", "?name=a.zip&folder=%2e%2e", "?types=status,x"),
]
HEADERS = [
    *("Range: bytes=0-", "Range: bytes=-1", "Range: bytes=5-1", "Range: bytes=" + "9" * 400 + "-"),
    *("Range: bytes=0-0,2-3,1-9", "Range: lines=1", "If-Range: x", 'If-None-Match: "x"'),
    *("Last-Event-ID: 3", "Last-Event-ID: ", "Last-Event-ID: -1", "Last-Event-ID: 1e9"),
    *("Idempotency-Key: k", "Idempotency-Key: " + "k" * 300, "Idempotency-Key: \xe4\xff"),
    *("Content-Range: bytes 0-9/10", "Content-Range: bytes 9-0/1", "Content-Range: x"),
    *("Authorization: Bearer x", "Authorization: \xff", "Expect: 100-continue", "Upgrade: h2c"),
    *("Host: evil.example", "Sec-Fetch-Site: cross-site", "Origin: null", "Accept: */*;q=x"),
    *("Transfer-Encoding: gzip", "Content-Length: 5", "Content-Length: -1", "Connection: upgrade"),
    *("X-Long: " + "y" * 3000, "Cookie: a=b; c", "Content-Encoding: gzip", "TE: trailers"),
]
KINDS = ["application/json", "text/plain", "application/json; charset=utf-16", "a", ""]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "G\xcb"]


def raw_request(source: random.Random, *, job_id: str, headers: list[str]) -> bytes:
    """A random request."""
    route = source.choice(routes())
    method = route.method if source.random() < 0.85 else source.choice(METHODS)
    path = _path(source, route.path, job_id) + source.choice(QUERIES)
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    lines += source.sample(HEADERS, source.choice((0, 0, 1, 2, 4)))
    body = b""
    if method in ("POST", "PATCH") or source.random() < 0.1:
        body = _body(source)
        lines.append(f"Content-Type: {source.choice(KINDS) if source.random() < 0.2 else KINDS[0]}")
        if source.random() < 0.2:
            lines.append("Transfer-Encoding: chunked")
            body = _chunked(source, body)
        else:
            lines.append(f"Content-Length: {len(body)}")
    whole = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
    return mutated(source, whole) if source.random() < 0.25 else whole


def _path(source: random.Random, path: str, job_id: str) -> str:
    good = EXAMPLES | {"job_id": job_id}
    if path.startswith("/v1/datasets"):
        good["name"] = source.choice(("words", "mine"))
    for name, value in good.items():
        chosen = source.choice(NAMES) if source.random() < 0.3 else value
        path = path.replace("{" + name + "}", chosen)
    assert not re.search(r"\{\w+\}", path), path
    return path


def _body(source: random.Random) -> bytes:
    if source.random() < 0.3:
        return source.choice(list(BODIES.values()))
    body = source.choice(GOOD)(source)
    text = json.dumps(body).encode()
    return mutated(source, text) if source.random() < 0.4 else text


def _spec(source: random.Random) -> object:
    """A job spec with some values replaced."""
    spec = JobSpec.model_validate(SPEC).model_dump(mode="json", exclude_none=True)
    for _ in range(source.randint(0, 4)):
        section = spec[source.choice(("data", "tokenizer", "model", "training"))]
        section[source.choice(list(section))] = source.choice(VALUES)
    return spec


GOOD: list[Callable[[random.Random], object]] = [
    _spec,
    _spec,
    lambda source: {
        "prompt": "a" * source.randint(0, 100),
        "max_new_tokens": source.choice(VALUES),
    },
    lambda source: {"text": source.choice(("", "a\0b", "\ud800", "x" * 30_000))},
    lambda source: {"task": source.choice(VALUES)},
    lambda source: {"tags": source.choice(VALUES), "notes": "n", "pinned": source.choice(VALUES)},
]
VALUES: list[object] = [
    *(0, -1, 1, 2**31, 2**63, 2**200, 1.5, -0.0, True, None, "", "a", "1", "\0", "x" * 5000),
    *([], {}, [None], {"a": 1}, [[[[]]]], "../..", "\u202e\ufeff", 1e308, 3, 7),
]


def _chunked(source: random.Random, body: bytes) -> bytes:
    parts = []
    while body:
        size = source.randint(1, len(body))
        parts.append(b"%x\r\n%s\r\n" % (size, body[:size]))
        body = body[size:]
    return b"".join(parts) + source.choice(
        (b"0\r\n\r\n", b"0\r\n\r\n", b"", b"-1\r\n", b"zz\r\n\r\n")
    )
