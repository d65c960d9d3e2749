"""Rank 0's hold on the other ranks of a run: it starts them, leads them, and ends with them.

They are children in the same process group, so that whoever ends the group ends them all, and each
reads a socket that closes when rank 0 is gone. What they do next they are told; so the decision to
stop is rank 0's alone, and no step costs a message through the devices to agree on it.
"""

import logging
import os
import queue
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import distributed

from core.dataset.tokens import TokenFile
from core.errors import CRASHED, ExitCode, RankDied, RunError
from core.events.types import ErrorData, EventData
from core.process.program import python_command
from core.spec.job import JobSpec
from core.spec.plan import Plan
from core.training.distributed.messages import (
    Answer,
    Begin,
    Command,
    End,
    Probe,
    Resume,
    Take,
    Validate,
    lines,
    send,
)
from core.training.distributed.reducer import join_group, seed_step
from core.training.execution.device import Device, choose_device
from core.training.execution.micro_batch import MicroBatch

log = logging.getLogger(__name__)

NOTICE_SECONDS = 5.0
"""Rank 0 may be at anything when another rank dies; after so long without noticing it is ended."""
CAUSE_SECONDS = 2.0
"""A rank that died may be seen by its closed connections a moment before it has ended."""
SETTLE_SECONDS = 0.5
"""One death makes the others fail too: so long is waited to tell cause and effects apart."""
CLOSE_SECONDS = 5.0
"""From the last command to the end of a process, which then is killed."""


class Ranks:
    """The other ranks of a run. With one device there are none, and nothing here does anything."""

    def __init__(
        self,
        seed: int,
        emit: Callable[[EventData], None],
        *,
        notice_seconds: float = NOTICE_SECONDS,
    ) -> None:
        self._seed = seed
        self._emit = emit
        self._notice_seconds = notice_seconds
        self._threads = 0
        self._peers: list[Peer] = []
        self._folder: Path | None = None
        self._death = threading.Event()
        self._noticed = threading.Event()

    def start(
        self,
        spec: JobSpec,
        plan: Plan,
        *,
        train: TokenFile,
        validation: TokenFile | None,
        compile_cache: Path | None,
    ) -> None:
        """Starts the other ranks, which load their libraries while rank 0 builds its own model.

        Raises:
            RunError: If the devices are not there.
            OSError: If a process cannot be started.
        """
        if spec.training.num_devices == 1:
            return
        choose_device(spec.training)
        self._threads = spec.training.num_threads or torch.get_num_threads()
        self._folder = Path(tempfile.mkdtemp(prefix="babylm-ranks-"))
        for rank in range(1, spec.training.num_devices):
            begin = Begin(
                rank=rank,
                spec=spec,
                plan=plan,
                train=train.folder,
                validation=None if validation is None else validation.folder,
                compile_cache=compile_cache,
                rendezvous=self._folder / "store",
            )
            self._peers.append(Peer(rank, on_end=self._watch))
            self._peers[-1].tell(begin)

    def join(self, device: Device) -> None:
        """Waits until all ranks are there, and meets them."""
        if self._folder is None:
            return
        self._await_answers()
        join_group(
            device,
            rank=0,
            num_ranks=len(self._peers) + 1,
            rendezvous=self._folder / "store",
        )
        self._remove_folder()

    def resume(self, folder: Path | None, micro_batch: MicroBatch) -> None:
        """Makes all ranks go to a resume point; None stays at step 0."""
        self._tell(Resume(folder=folder, micro_batch=micro_batch))
        self._await_answers()

    def warm_up(self, micro_batch: MicroBatch, *, is_compiled: bool) -> None:
        """Lets the others compile and try the micro-batch that fits rank 0.

        Raises:
            torch.OutOfMemoryError: If it does not fit one of them.
        """
        self._tell(Probe(micro_batch=micro_batch, compile=is_compiled))
        if "no_memory" in self._await_answers():
            raise torch.OutOfMemoryError("another device of the run has no memory left")

    def take(self, step: int) -> None:
        """Makes the others take a step; rank 0 must take it next."""
        if self._peers:
            self._tell(Take(step=step))
            seed_step(self._seed, step=step, rank=0)

    def validate(self, *, averaged: bool = False) -> None:
        """Makes the others validate their part; rank 0 must do so next, with the same weights."""
        self._tell(Validate(averaged=averaged))

    def cause_of(self, error: Exception) -> Exception:
        """Why rank 0 met `error`: another rank's failure where one failed, else the error."""
        self._noticed.set()
        if not self._peers or isinstance(error, RunError | RankDied):
            return error
        if not self._death.wait(CAUSE_SECONDS):
            return error
        return self._first_failure()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._noticed.set()
        for peer in self._peers:
            peer.end(is_finished=kind is None)
        # All ranks together where all is well. Otherwise NCCL would wait for what a rank that
        # failed will never send, and this process ends soon anyway.
        is_open = self._peers and distributed.is_initialized()
        if is_open and (kind is None or distributed.get_backend() == "gloo"):
            distributed.destroy_process_group()
        for peer in self._peers:
            peer.wait(CLOSE_SECONDS)
        if self._peers:
            torch.set_num_threads(self._threads)  # the stages after training have them all again
        self._remove_folder()

    def _remove_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _tell(self, command: Command) -> None:
        for peer in self._peers:
            peer.tell(command)

    def _await_answers(self) -> list[str]:
        answers = [peer.answer() for peer in self._peers]
        if None in answers:
            self._noticed.set()
            raise self._first_failure()
        return [answer.state for answer in answers if answer is not None]

    def _watch(self, peer: "Peer") -> None:
        """A rank has ended; called in a thread of its own."""
        self._death.set()  # also where rank 0 has noticed: it may be waiting for the cause
        if self._noticed.is_set():
            return
        log.error("%s", peer.failure())
        if not self._noticed.wait(self._notice_seconds):
            self._leave(self._first_failure())

    def _leave(self, failure: RunError | RankDied) -> None:
        """Ends this process, whose main thread waits in native code for a rank that is gone."""
        try:
            message = str(failure)
            self._emit(ErrorData(code=failure.code, message=message, hint=failure.hint))
            log.error("this process is ended: %s", message)
        finally:
            self._remove_folder()
            os._exit(ExitCode.FAILED if isinstance(failure, RunError) else CRASHED)

    def _first_failure(self) -> RunError | RankDied:
        """The failure that explains the others: one with a name, then a signal, then any."""
        time.sleep(SETTLE_SECONDS)
        failures = [(peer.weight, peer.failure()) for peer in self._peers if peer.has_ended]
        return max(failures, key=lambda failure: failure[0])[1]


class Peer:
    """The process of another rank."""

    def __init__(self, rank: int, *, on_end: Callable[["Peer"], None]) -> None:
        self.rank = rank
        self._on_end = on_end
        self._answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._told: Answer | None = None
        self._connection, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                python_command("core.training.distributed"), stdin=theirs.fileno()
            )
        threading.Thread(target=self._listen, name=f"rank-{rank}", daemon=True).start()

    @property
    def has_ended(self) -> bool:
        """True once the process is gone."""
        return self._process.poll() is not None

    @property
    def weight(self) -> int:
        """How well its end explains that of others."""
        if self._told is not None and self._told.error is not None:
            return 2
        return int((self._process.returncode or 0) < 0)

    def tell(self, command: Command) -> None:
        """Sends a command.

        Raises:
            OSError: If the process is gone.
        """
        send(self._connection, command)

    def answer(self) -> Answer | None:
        """The answer to a command; None if the process ended instead. Waits."""
        return self._answers.get()

    def failure(self) -> RunError | RankDied:
        """What the end of the process means for the run."""
        if self._told is not None and self._told.error is not None:
            named = RunError(self._told.error.message, hint=self._told.error.hint)
            named.code = self._told.error.code
            return named
        status = self._process.returncode
        how = f"with exit status {status}; the log has the reason"
        if status is not None and status < 0:
            how = f"by {signal.Signals(-status).name}"
        return RankDied(f"the process of device {self.rank} was ended {how}")

    def end(self, *, is_finished: bool) -> None:
        """Lets the process end by itself, or makes it."""
        try:
            if is_finished:
                send(self._connection, End())
            self._connection.shutdown(socket.SHUT_WR)
        except OSError as error:
            log.debug("rank %d is gone already: %s", self.rank, error)

    def wait(self, seconds: float) -> None:
        """Returns when the process is gone, after `seconds` by force."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._connection.close()

    def _listen(self) -> None:
        for line in lines(self._connection):
            answer = Answer.model_validate_json(line)
            if answer.state == "failed":
                self._told = answer
            else:
                self._answers.put(answer)
        self._process.wait()
        self._answers.put(None)
        self._on_end(self)
