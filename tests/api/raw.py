"""Passes requests to the app byte for byte, as a server does; no client changes them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import anyio
from fastapi import FastAPI


@dataclass
class RawAnswer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        def refuse(name: str) -> None:
            raise AssertionError(f"{name} is no JSON")

        return json.loads(self.body, parse_constant=refuse)


class RawClient:
    """Calls an app that has been started."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    def send(
        self,
        method: str,
        target: str,
        body: bytes | Iterable[bytes] = b"",
        *,
        peer: str | None = "127.0.0.1",
        **headers: str | None,
    ) -> RawAnswer:
        """Sends a request; a header with the value None is not sent.

        `target` is the path on the wire. `peer` is the address of the client, None for a Unix
        socket.
        """
        chunks = [body] if isinstance(body, bytes) else list(body)
        named: dict[str, str | None] = {"host": "localhost"}
        if isinstance(body, bytes) and body:
            named |= {"content-type": "application/json", "content-length": str(len(body))}
        named |= {name.replace("_", "-").lower(): value for name, value in headers.items()}
        scope = _scope(method, target, named, peer)
        answer = RawAnswer()
        messages = [
            {"type": "http.request", "body": chunk, "more_body": index < len(chunks) - 1}
            for index, chunk in enumerate(chunks)
        ]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop(0)
            await anyio.sleep_forever()
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {
                    name.decode().lower(): value.decode("latin-1")
                    for name, value in message["headers"]
                }
            elif message["type"] == "http.response.body":
                answer.body += message.get("body", b"")

        async def call() -> None:
            try:
                await self.app(scope, receive, send)
            except Exception:
                # Starlette answers with 500 and then raises the exception for the log.
                if answer.status == 0:
                    raise

        anyio.run(call)
        return answer


def _scope(
    method: str, target: str, headers: dict[str, str | None], peer: str | None
) -> dict[str, Any]:
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [
            (name.encode(), value.encode("latin-1"))
            for name, value in headers.items()
            if value is not None
        ],
        "client": peer and (peer, 1),
        "server": ("localhost", 8000),
        "state": {},
    }
