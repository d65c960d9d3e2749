"""The worker side of the process pool, and the channel between a worker and its parent.

The module imports little, so that workers start fast. The parent's side is `core.process.pool`.
"""

import os
import pickle
import signal
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

MESSAGE = struct.Struct("<QQ")
"""A message on the socket: the number of a slot, and the number of bytes in it."""
SLOT_BYTES = 1 << 40
"""Size in bytes of each half of a slot; each end of a channel writes to one half. The shared memory
is a sparse file, in which only written pages use memory."""

Content = Any  # Any, because pickled objects have no common type


@runtime_checkable
class Learner(Protocol):
    """A callable that caches entries learned from requests and shares them with other processes."""

    def news(self) -> list[Content]:
        """Entries learned since the last call."""

    def adopt(self, news: list[Content]) -> None:
        """Adds entries that another process has learned."""


@dataclass(frozen=True)
class Channel:
    """One end of a channel between two processes.

    An object is written to an unused slot of shared memory. The socket carries only the number of
    the slot and the size of the object. Sending therefore needs no thread and never waits for the
    receiver.
    """

    socket: socket.socket
    """A SOCK_SEQPACKET socket, which preserves message boundaries."""
    memory: int
    """File descriptor of the shared memory."""
    end: int
    """0 or 1; each end writes to its own half of a slot."""

    def send(self, slot: int, content: Content) -> None:
        """Sends an object to the other end.

        Raises:
            OSError: If the other end is closed or no memory is left.
        """
        data = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
        written = os.pwrite(self.memory, data, (2 * slot + self.end) * SLOT_BYTES)
        if written != len(data):
            raise OSError(f"only {written:,} of {len(data):,} bytes fit into memory")
        self.socket.send(MESSAGE.pack(slot, len(data)))

    def receive(self, flags: int = 0) -> tuple[int, Content]:
        """Receives an object; returns its slot and the object.

        Raises:
            BlockingIOError: If there is no message and `flags` contain `MSG_DONTWAIT`.
            EOFError, ConnectionError: If the other end is closed.
        """
        message = self.socket.recv(MESSAGE.size, flags)
        if not message:
            raise EOFError
        slot, size = MESSAGE.unpack(message)
        data = os.pread(self.memory, size, (2 * slot + 1 - self.end) * SLOT_BYTES)
        return slot, pickle.loads(data)  # written by the trusted other end


def run_pool_worker(file: int, memory: int) -> None:
    """Answers requests of the process at the other end until that process exits.

    Args:
        file: File descriptor of the socket.
        memory: File descriptor of the shared memory.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the parent ends this process
    os.environ["TOKENIZERS_PARALLELISM"] = (
        "false"  # one thread per process: the pool has a process per core
    )
    channel = Channel(socket.socket(fileno=file), memory, end=1)
    with suppress(EOFError, ConnectionError):
        _, (make, argument) = channel.receive()
        work = learner = None
        while True:
            slot, (request, news) = channel.receive()
            answer: tuple[Content, Exception | None, list[Content]]
            try:
                if work is None:
                    work = make(argument)
                    learner = work if isinstance(work, Learner) else None
                if learner and news:
                    learner.adopt(news)
                answer = (work(request), None, learner.news() if learner else [])
            except Exception as error:  # the parent receives the exception and raises it
                answer = (None, error, [])
            channel.send(slot, answer)
    os._exit(0)  # exits without freeing the cached words, which would take time
