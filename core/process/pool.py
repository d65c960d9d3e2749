"""A process pool that returns results in order.

The pool replaces `concurrent.futures` and `multiprocessing` for two reasons. Workers of
`concurrent.futures` hold both ends of their queue, so they never exit if the parent is killed. Both
modules import the parent's main module in each worker. A worker of this pool holds one end of a
socket, exits when the other end is closed, and imports only the modules for its work.
"""

import os
import select
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from core.errors import RunError, Stopped
from core.process.pool_worker import Channel, Content, Learner
from core.process.program import python_command

AHEAD = 3
"""Maximum number of requests queued per worker, so that a worker never waits for this process."""
MAX_WAITING = 64
"""Maximum number of results that wait for an earlier result. Results wait because this process
computes ahead, for example while the workers start. Each result takes at most 512 KB, so all of
them together take at most 32 MB."""
POLL_MILLISECONDS = 100
END_SECONDS = 5.0

Argument = TypeVar("Argument")
Request = TypeVar("Request")
Result = TypeVar("Result")
Answers = dict[int, Content]


def serve_in_order(
    requests: Sequence[Request],
    *,
    make: Callable[[Argument], Callable[[Request], Result]],
    argument: Argument,
    count: int,
    should_stop: Callable[[], bool],
) -> Iterator[Result]:
    """Yields the results in the order of the requests; raises exceptions of the workers.

    Each process, including this one, calls `make(argument)` once, which returns a callable. The
    process then calls this callable for each of its requests. If the callable is a `Learner`, the
    processes exchange the entries that they learn.

    Args:
        requests: Arguments of the calls.
        make: Factory of the callable; must be importable by name.
        argument: Argument of the factory.
        count: Number of processes, including this one.
        should_stop: Checked between two requests, and several times per second.

    Raises:
        Stopped: After a stop request.
    """
    unassigned = 0  # index of the first request that is not assigned to a process
    answers: Answers = {}
    with ExitStack() as stack:
        workers = [
            stack.enter_context(_PoolWorker.start((make, argument))) for _ in range(count - 1)
        ]
        work = make(argument)  # while the workers start
        learner = work if isinstance(work, Learner) else None
        for place in range(len(requests)):
            while place not in answers:
                if should_stop():
                    raise Stopped
                for worker in workers:
                    learned = worker.collect(answers)
                    if learner and learned:
                        learner.adopt(learned)
                        _broadcast(learned, [other for other in workers if other is not worker])
                    unassigned = worker.fill(requests, unassigned)
                if place in answers:
                    break
                if unassigned < min(len(requests), place + MAX_WAITING):
                    answers[unassigned] = work(requests[unassigned])
                    unassigned += 1
                    if learner:
                        _broadcast(learner.news(), workers)
                else:
                    _wait(workers)
            yield answers.pop(place)


def _broadcast(news: list[Content], workers: "Sequence[_PoolWorker]") -> None:
    for worker in workers:
        worker.unsent += news


def _wait(workers: "Sequence[_PoolWorker]") -> None:
    """Waits until a worker has answered, but at most `POLL_MILLISECONDS`."""
    poll = select.poll()
    for worker in workers:
        poll.register(worker.channel.socket, select.POLLIN)
    poll.poll(POLL_MILLISECONDS)


@dataclass(eq=False)
class _PoolWorker:
    """A worker process and its pending requests."""

    process: subprocess.Popen[bytes]
    channel: Channel
    places: list[int | None] = field(default_factory=lambda: [None] * AHEAD)
    """Index of the pending request in each slot of the channel."""
    unsent: list[Content] = field(default_factory=list)
    """Entries that other processes have learned, sent with the next request."""

    @classmethod
    def start(cls, work: Content) -> "_PoolWorker":
        """Starts a process and sends it the factory and its argument."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        memory = os.memfd_create("babylm-pool")
        with theirs:
            process = subprocess.Popen(
                python_command("core.process.pool_main", str(theirs.fileno()), str(memory)),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), memory),
            )
        channel = Channel(ours, memory, end=0)
        channel.send(AHEAD, work)  # a slot that no request uses
        return cls(process, channel)

    def __enter__(self) -> "_PoolWorker":
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.socket.close()
        os.close(self.channel.memory)
        self.process.terminate()
        self.process.wait()

    def collect(self, answers: Answers) -> list[Content]:
        """Adds finished results to `answers`; returns the entries that the worker has learned."""
        news = []
        while (received := self._received()) is not None:
            slot, (result, error, learned) = received
            if error is not None:
                raise error
            place, self.places[slot] = self.places[slot], None
            assert place is not None, "an answer without a request"
            answers[place] = result
            news += learned
        return news

    def _received(self) -> tuple[int, Content] | None:
        try:
            return self.channel.receive(socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except (EOFError, ConnectionError) as gone:
            raise _died(self.process) from gone

    def fill(self, requests: Sequence[Content], unassigned: int) -> int:
        """Sends requests from index `unassigned` on; returns the next unassigned index."""
        try:
            for slot, place in enumerate(self.places):
                if place is None and unassigned < len(requests):
                    self.channel.send(slot, (requests[unassigned], self.unsent))
                    self.unsent = []
                    self.places[slot] = unassigned
                    unassigned += 1
        except ConnectionError as gone:
            raise _died(self.process) from gone
        return unassigned


def _died(process: subprocess.Popen[bytes]) -> RunError:
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
    return RunError(
        f"a text processing worker exited with status {process.returncode}",
        hint="The machine may have run out of memory; see the log of the job.",
    )
