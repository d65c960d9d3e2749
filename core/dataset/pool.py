"""A few processes that answer in order.

Not `concurrent.futures`: its processes hold both ends of their queue and live on for ever when
the parent is killed. Here each holds one end of a pipe, and ends when the other is gone.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from core.errors import RunError, Stopped

AHEAD = 2
"""Requests given to a process at once, so that it never waits for the parent."""
POLL_SECONDS = 0.1

Argument = TypeVar("Argument")
Request = TypeVar("Request")
Result = TypeVar("Result")


def serve_in_order(
    requests: Sequence[Request],
    *,
    make: Callable[[Argument], Callable[[Request], Result]],
    argument: Argument,
    count: int,
    should_stop: Callable[[], bool],
) -> Iterator[Result]:
    """The result of each request in turn; an error in a process is raised here.

    Each process calls `make(argument)` once and the outcome for each of its requests. With a
    `count` of 1 all is done here. Requests must be small: they are sent without waiting.

    Raises:
        Stopped: If a stop was asked for while a result was waited for.
    """
    if count <= 1:
        yield from map(make(argument), requests)
        return
    # Not fork: threads of this process may hold locks that nobody would ever open in the child.
    context = get_context("spawn")
    processes, pipes = [], []
    try:
        for _ in range(count):
            pipe, end = context.Pipe()
            process = context.Process(target=_serve, args=(end, make, argument), daemon=True)
            process.start()
            end.close()
            processes.append(process)
            pipes.append(pipe)
        yield from _exchange(requests, pipes, should_stop)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
        for pipe in pipes:
            pipe.close()


def _exchange(
    requests: Sequence[Any], pipes: Sequence[Any], should_stop: Callable[[], bool]
) -> Iterator[Any]:  # Any: what goes through a pipe has no type
    for place in range(min(len(requests), AHEAD * len(pipes))):
        pipes[place % len(pipes)].send(requests[place])
    for place in range(len(requests)):
        pipe = pipes[place % len(pipes)]
        while not pipe.poll(POLL_SECONDS):
            if should_stop():
                raise Stopped
        try:
            result, error = pipe.recv()
            following = place + AHEAD * len(pipes)
            if error is None and following < len(requests):
                pipe.send(requests[following])
        except (EOFError, OSError) as gone:
            raise RunError("a process that encodes text died; is there enough memory?") from gone
        if error is not None:
            raise error
        yield result


def _serve(
    pipe: "Connection[Any, Any]", make: Callable[[Any], Callable[[Any], Any]], argument: Any
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends this
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
    work: Callable[[Any], Any] | None = None
    while True:
        try:
            request = pipe.recv()
        except EOFError:
            return
        answer: tuple[Any, Exception | None]
        try:
            work = work or make(argument)
            answer = (work(request), None)
        except Exception as error:  # not swallowed: the parent raises it
            answer = (None, error)
        try:
            pipe.send(answer)
        except OSError:
            return
