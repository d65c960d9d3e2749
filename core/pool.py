"""Work shared with a few more processes, the results in order.

Not `concurrent.futures` and not `multiprocessing`: processes of the first hold both ends of their
queue and live on for ever when the parent is killed, and both run the parent's main module again
in each process before any work is done. Here a process holds one end of a socket, ends when the
other end is gone, and loads only what the work needs.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar, runtime_checkable

from core.errors import RunError, Stopped

AHEAD = 3
"""Requests that a helper has at once, so that it never waits while this process works."""
MAX_WAITING = 64
"""Results kept until those before them are there; this process works on while helpers start.
They are 16 MB at most, of 256 KB of text each."""
POLL_SECONDS = 0.1
END_SECONDS = 5.0

Argument = TypeVar("Argument")
Request = TypeVar("Request")
Result = TypeVar("Result")
Answers = dict[int, Any]  # Any: what went through a socket has no type


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
    the requests. Requests must be small: they are sent without waiting.

    Where the outcome is a `Learner`, each process hears what the others have learned.

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
        for place in range(len(requests)):
            while place not in answers:
                if should_stop():
                    raise Stopped
                for helper in helpers:
                    _spread(helper.collect(answers), work, helpers, source=helper)
                    following = helper.fill(requests, following)
                if place in answers:
                    break
                if following < min(len(requests), place + MAX_WAITING):
                    answers[following] = work(requests[following])
                    following += 1
                    _spread(_news(work), work, helpers, source=None)
                else:
                    wait([helper.socket for helper in helpers], POLL_SECONDS)
            yield answers.pop(place)


@runtime_checkable
class Learner(Protocol):
    """Work that gets faster by what it has met, in whatever process."""

    def news(self) -> list[Any]:  # Any: only another learner of the kind reads it
        """What was learned since the last call."""

    def adopt(self, news: list[Any]) -> None:
        """Takes the news of another process."""


def _news(work: object) -> list[Any]:
    return work.news() if isinstance(work, Learner) else []


def _spread(
    news: list[Any], work: object, helpers: "Sequence[_Helper]", *, source: "_Helper | None"
) -> None:
    """Passes news of a helper, or of this process where there is no source, on to all others."""
    if not news:
        return
    if source is not None and isinstance(work, Learner):
        work.adopt(news)
    for helper in helpers:
        if helper is not source:
            helper.untold += news


@dataclass(eq=False)
class _Helper:
    """Another process and the places of the requests it was given."""

    process: subprocess.Popen[bytes]
    socket: "Connection[Any, Any]"  # Any: see Answers
    places: set[int] = field(default_factory=set)
    untold: list[Any] = field(default_factory=list)
    """News for it, which go with the next request."""

    @classmethod
    def start(cls, work: tuple[Any, Any]) -> "_Helper":
        ours, theirs = Pipe()
        program = f"import sys; sys.path[:] = {sys.path!r}; "
        program += f"from core.pool import help_with; help_with({theirs.fileno()})"
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
        )
        theirs.close()
        ours.send(work)
        return cls(process, ours)

    def __enter__(self) -> "_Helper":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        self.process.terminate()
        self.process.wait()

    def collect(self, answers: Answers) -> list[Any]:
        """Takes what is finished; returns what it has learned."""
        news = []
        try:
            while self.socket.poll():
                place, result, error, learned = self.socket.recv()
                if error is not None:
                    raise error
                self.places.discard(place)
                answers[place] = result
                news += learned
        except (EOFError, ConnectionError) as gone:
            raise _died(self.process) from gone
        return news

    def fill(self, requests: Sequence[Any], following: int) -> int:
        """Hands out requests from `following` on; returns the first that is left."""
        try:
            while len(self.places) < AHEAD and following < len(requests):
                self.socket.send((following, requests[following], self.untold))
                self.untold = []
                self.places.add(following)
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


def help_with(file: int) -> None:
    """What a helper runs, on its end of the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends this
    answers: SimpleQueue[Any] = SimpleQueue()  # Any: see Answers
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
    socket: Connection[Any, Any] = Connection(file)
    with socket, suppress(EOFError, ConnectionError):
        # Sending waits until the parent reads, which it does between two pieces of its own work;
        # and what the parent sends is taken at once, so that it does not wait for this process.
        threading.Thread(target=_send_all, args=(socket, answers), daemon=True).start()
        make, argument = socket.recv()
        requests: SimpleQueue[Any] = SimpleQueue()  # Any: see Answers
        threading.Thread(target=_receive_all, args=(socket, requests), daemon=True).start()
        work = None
        while (received := requests.get()) is not None:
            place, request, news = received
            try:
                work = work or make(argument)
                if news:
                    work.adopt(news)
                answers.put((place, work(request), None, _news(work)))
            except Exception as error:  # not swallowed: the parent raises it
                answers.put((place, None, error, []))


def _receive_all(socket: "Connection[Any, Any]", requests: SimpleQueue[Any]) -> None:
    with suppress(EOFError, OSError):
        while True:
            requests.put(socket.recv())
    requests.put(None)  # the parent is gone, or has all that it needs


def _send_all(socket: "Connection[Any, Any]", answers: SimpleQueue[Any]) -> None:
    with suppress(OSError):  # the parent is gone, and the main thread hears of it
        while True:
            socket.send(answers.get())
