"""A process that helps another one: what it runs, and the way between the two.

Imports little, because the work waits for it. The other end is `core.process.pool`.
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
"""What goes through the socket: the number of a slot, and how many bytes lie in it."""
SLOT_BYTES = 1 << 40
"""From one slot to the next in a file that lies in memory; only what was written takes room."""

Content = Any  # Any: what goes between processes has no type


@runtime_checkable
class Learner(Protocol):
    """Work that gets faster by what it has met, in whatever process."""

    def news(self) -> list[Content]:
        """What was learned since the last call."""

    def adopt(self, news: list[Content]) -> None:
        """Takes the news of another process."""


@dataclass(frozen=True)
class Channel:
    """One end of the way between two processes.

    What is sent lies in memory that both see, in a slot that nobody uses meanwhile; the socket
    only tells of it. So sending never waits for the other end to read, and needs no thread.
    """

    socket: socket.socket
    """Of the kind SOCK_SEQPACKET, which takes a message whole."""
    memory: int
    """File descriptor."""
    end: int
    """0 or 1; a slot has room for what each end sends."""

    def send(self, slot: int, content: Content) -> None:
        """Tells the other end something.

        Raises:
            OSError: If the other end is gone, or there is no memory left.
        """
        data = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
        written = os.pwrite(self.memory, data, (2 * slot + self.end) * SLOT_BYTES)
        if written != len(data):
            raise OSError(f"{written:,} of {len(data):,} bytes fitted into memory")
        self.socket.send(MESSAGE.pack(slot, len(data)))

    def receive(self, flags: int = 0) -> tuple[int, Content]:
        """The slot of what the other end sent, and what it is.

        Raises:
            BlockingIOError: If there is nothing yet and `flags` say not to wait.
            EOFError, ConnectionError: If the other end is gone.
        """
        message = self.socket.recv(MESSAGE.size, flags)
        if not message:
            raise EOFError
        slot, size = MESSAGE.unpack(message)
        data = os.pread(self.memory, size, (2 * slot + 1 - self.end) * SLOT_BYTES)
        return slot, pickle.loads(data)  # what our own other end wrote


def help_with(file: int, memory: int) -> None:
    """Works for the process at the other end until that is gone.

    Args:
        file: The socket's descriptor.
        memory: That of the memory.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends this
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
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
            except Exception as error:  # not swallowed: the parent raises it
                answer = (None, error, [])
            channel.send(slot, answer)
    os._exit(0)  # nothing is open that would have to be closed, and freeing all words takes time
