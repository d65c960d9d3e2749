"""Runs the app on a real uvicorn server in a thread, with a protocol class of the service."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from api.protocol import BoundedProtocol
from api.server import ApiServer
from api.stream import Watchers

DEADLINE_SECONDS = 60.0


@contextmanager
def served(
    app: FastAPI, protocol: type[BoundedProtocol], watchers: Watchers | None = None
) -> Iterator[int]:
    """Runs the app until the block ends; yields its port.

    The end of the block is a shutdown without a time limit: it waits for open responses.
    """
    config = uvicorn.Config(app, port=0, http=protocol, log_config=None, timeout_keep_alive=60)
    server = ApiServer(config, watchers or Watchers())
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(DEADLINE_SECONDS)
        assert not thread.is_alive()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS)


def everything(connection: socket.socket) -> bytes:
    """The bytes that are received until the other side closes the connection."""
    received = b""
    try:
        while block := connection.recv(65536):
            received += block
    except ConnectionResetError:
        pass
    return received
