"""Work shared with a few more processes, the results in order.

Not `concurrent.futures` and not `multiprocessing`: processes of the first hold both ends of their
queue and live on for ever when the parent is killed, and both run the parent's main module again
in each process before any work is done. Here a process holds one end of a socket, ends when the
other end is gone, and loads only what the work needs.
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
"""Requests that a helper has at once, so that it never waits while this process works."""
MAX_WAITING = 64
"""Results kept until those before them are there; this process works on while helpers start.
They are 32 MB at most, of 512 KB of text each."""
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
    """The result of each request in turn; an error in a helper is raised here.

    Each process, this one included, calls `make(argument)` once and the outcome for its share of
    the requests. Where the outcome is a `Learner`, each process hears what the others have learned.

    Args:
        requests: What is to be done.
        make: Importable by name.
        argument: Its argument.
        count: Processes, this one included.
        should_stop: Asked between two requests, and several times a second.

    Raises:
        Stopped: If a stop was asked for.
    """
    following = 0  # the first request that nobody has
    answers: Answers = {}
    with ExitStack() as stack:
        helpers = [stack.enter_context(_Helper.start((make, argument))) for _ in range(count - 1)]
        work = make(argument)  # while the helpers start
        learner = work if isinstance(work, Learner) else None
        for place in range(len(requests)):
            while place not in answers:
                if should_stop():
                    raise Stopped
                for helper in helpers:
                    learned = helper.collect(answers)
                    if learner and learned:
                        learner.adopt(learned)
                        _tell(learned, [other for other in helpers if other is not helper])
                    following = helper.fill(requests, following)
                if place in answers:
                    break
                if following < min(len(requests), place + MAX_WAITING):
                    answers[following] = work(requests[following])
                    following += 1
                    if learner:
                        _tell(learner.news(), helpers)
                else:
                    _wait(helpers)
            yield answers.pop(place)


def _tell(news: list[Content], helpers: "Sequence[_Helper]") -> None:
    for helper in helpers:
        helper.untold += news


def _wait(helpers: "Sequence[_Helper]") -> None:
    """Until a helper has answered, but not for long."""
    poll = select.poll()
    for helper in helpers:
        poll.register(helper.channel.socket, select.POLLIN)
    poll.poll(POLL_MILLISECONDS)


@dataclass(eq=False)
class _Helper:
    """Another process and the requests it was given."""

    process: subprocess.Popen[bytes]
    channel: Channel
    places: list[int | None] = field(default_factory=lambda: [None] * AHEAD)
    """By slot of the channel, the place of the request that lies there."""
    untold: list[Content] = field(default_factory=list)
    """News for it, which go with the next request."""

    @classmethod
    def start(cls, work: Content) -> "_Helper":
        """Starts a process and tells it what its work is."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        memory = os.memfd_create("babylm-helper")
        with theirs:
            process = subprocess.Popen(
                python_command("core.process.pool_main", str(theirs.fileno()), str(memory)),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), memory),
            )
        channel = Channel(ours, memory, end=0)
        channel.send(AHEAD, work)  # a slot that no request will take
        return cls(process, channel)

    def __enter__(self) -> "_Helper":
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.socket.close()
        os.close(self.channel.memory)
        self.process.terminate()
        self.process.wait()

    def collect(self, answers: Answers) -> list[Content]:
        """Takes what is finished; returns what it has learned."""
        news = []
        while (received := self._received()) is not None:
            slot, (result, error, learned) = received
            if error is not None:
                raise error
            place, self.places[slot] = self.places[slot], None
            assert place is not None, "an answer to what nobody asked"
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

    def fill(self, requests: Sequence[Content], following: int) -> int:
        """Hands out requests from `following` on; returns the first that is left."""
        try:
            for slot, place in enumerate(self.places):
                if place is None and following < len(requests):
                    self.channel.send(slot, (requests[following], self.untold))
                    self.untold = []
                    self.places[slot] = following
                    following += 1
        except ConnectionError as gone:
            raise _died(self.process) from gone
        return following


def _died(process: subprocess.Popen[bytes]) -> RunError:
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
    return RunError(
        f"a process that works on text ended with status {process.returncode}",
        hint="The machine may have had no memory left; see the log of the job.",
    )
