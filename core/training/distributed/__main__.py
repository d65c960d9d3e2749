"""The program of a rank worker, started by `core.training.distributed.ranks`.

    python -m core.training.distributed

A rank is one process of a run on several devices. Rank 0 is the training process of the run and
starts the other ranks. Standard input of this program is a socket, through which rank 0 sends
commands and receives answers. Standard output has only log lines. If the socket closes before the
command `End`, rank 0 has exited or failed, and this process exits too.
"""

import faulthandler
import logging
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Iterator

from core.errors import CRASHED, ExitCode, RunError
from core.events.types import ErrorData
from core.process.loading import loading
from core.training.distributed.messages import COMMAND, Answer, Begin, Command, End, lines, send

log = logging.getLogger("core.training.distributed")


def main() -> int:
    """Executes the commands of rank 0 and returns the exit status."""
    faulthandler.enable()
    # Signals reach the whole process group, but only rank 0 decides when all ranks stop.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = _leader()
    commands = _commands(connection)
    begin = next(commands)
    assert isinstance(begin, Begin)
    logging.basicConfig(
        level=logging.WARNING,
        format=f"%(asctime)s %(levelname)s device {begin.rank}: %(message)s",
        stream=sys.stdout,
    )
    with loading("torch"):
        from core.training.distributed.rank_worker import run_rank
        from core.training.execution.failures import named_failure

    try:
        run_rank(begin, commands, lambda answer: send(connection, answer))
    except Exception as error:  # reported to rank 0, which ends the run
        log.exception("failed")
        failure = named_failure(error, begin.train)
        send(connection, Answer(state="failed", error=_error_data(failure)))
        return CRASHED
    return ExitCode.FINISHED


def _commands(connection: socket.socket) -> Iterator[Command]:
    """The commands of rank 0, read by a thread that detects the exit of rank 0 at once."""
    inbox: queue.SimpleQueue[Command] = queue.SimpleQueue()

    def read() -> None:
        command: Command | None = None
        for line in lines(connection):
            command = COMMAND.validate_json(line)
            inbox.put(command)
        if not isinstance(command, End):
            os._exit(ExitCode.ABANDONED)

    threading.Thread(target=read, name="rank-0-watch", daemon=True).start()
    while not isinstance(command := inbox.get(), End):
        yield command


def _leader() -> socket.socket:
    """The connection to rank 0, moved from standard input so that no child process inherits it."""
    connection = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return connection


def _error_data(failure: RunError | None) -> ErrorData | None:
    if failure is None:
        return None
    return ErrorData(code=failure.code, message=failure.message, hint=failure.hint)


if __name__ == "__main__":
    sys.exit(main())
