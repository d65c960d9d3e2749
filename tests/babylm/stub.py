"""A service with a few routes over real HTTP, for the tests of the client."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Answer:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    """Number of bytes of the body after which the connection is closed."""


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Stub:
    """Answers by `METHOD path`. If a route has a list of answers, the last one is repeated."""

    url: str = ""
    routes: dict[str, Any] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        key = f"{request.method} {request.path.split('?')[0]}"
        found = self.routes.get(key, Answer(404, {"title": "Not Found", "detail": f"no {key}"}))
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        return found(request) if callable(found) else found


def problem(status: int, detail: str, **more: Any) -> Answer:
    body = {"type": "about:blank", "title": "Error", "status": status, "detail": detail, **more}
    return Answer(status, body, {"Content-Type": "application/problem+json"})


def ranged(content: bytes, *, cut_after: int | None = None) -> Any:
    """Serves `content`, from the offset of a Range header."""

    def answer(request: Request) -> Answer:
        wanted = re.match(r"bytes=(\d+)-", request.headers.get("range", ""))
        if not wanted:
            return Answer(200, content, cut_after=cut_after)
        start = int(wanted[1])
        span = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        return Answer(206, content[start:], span, cut_after=cut_after)

    return answer


def stream(*events: dict[str, Any], cut: bool = False) -> Answer:
    """Server-sent events."""
    text = ": ping\n\n" + "".join(
        f"id: {event['seq']}\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n"
        for event in events
    )
    body = text.encode()
    headers = {"Content-Type": "text/event-stream"}
    return Answer(200, body, headers, cut_after=len(body) if cut else None)


@contextmanager
def stub_service() -> Iterator[Stub]:
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            raw = self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = json.loads(raw) if raw else None
            answer = stub.answer(Request(self.command, self.path, headers, body))
            content = answer.body
            if not isinstance(content, bytes):
                content = b"" if content is None else json.dumps(content).encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            extra = 1 if answer.cut_after is not None and answer.cut_after >= len(content) else 0
            self.send_header("Content-Length", str(len(content) + extra))
            self.end_headers()
            self.wfile.write(content[: answer.cut_after])
            if answer.cut_after is not None:
                self.close_connection = True

        do_GET = do_POST = do_DELETE = _serve

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
