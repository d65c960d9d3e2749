"""Starts, controls and stops the other ranks of a run. Only rank 0 uses this module.

A rank is one process of a run on several devices. Rank 0 is the training process. The other ranks
are its child processes in the same process group, so a signal to the group reaches all of them.
Each of them reads commands of rank 0 from a socket, which closes when rank 0 exits. Only rank 0
decides when to stop, so the ranks need no collective operation to agree on a stop.
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
"""Seconds within which the main thread must notice the exit of a rank. After this time, the whole
process exits."""
CAUSE_SECONDS = 2.0
"""Maximum number of seconds to wait for the exit of another rank after an error in rank 0. The
connections of a rank may close a moment before it exits."""
SETTLE_SECONDS = 0.5
"""Seconds to wait before choosing the root cause. If one rank exits, the other ranks fail too."""
CLOSE_SECONDS = 5.0
"""Seconds within which a rank must exit after the last command. After this time, it is killed."""


class Ranks:
    """The other ranks of a run. For a run on one device, all methods do nothing."""

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
        initial: Path | None = None,
    ) -> None:
        """Starts the other ranks. They import libraries while rank 0 builds its model.

        Raises:
            RunError: If there are too few devices.
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
                initial=initial,
                rendezvous=self._folder / "store",
            )
            self._peers.append(Peer(rank, on_end=self._watch))
            self._peers[-1].send(begin)

    def join(self, device: Device) -> None:
        """Waits until all ranks are ready, and joins the process group."""
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
        """Makes the other ranks restore the resume point in `folder`.

        If `folder` is None, the ranks stay at step 0.
        """
        self._send(Resume(folder=folder, micro_batch=micro_batch))
        self._await_answers()

    def probe(self, micro_batch: MicroBatch, *, is_compiled: bool) -> None:
        """Makes the other ranks compile their layers and probe a micro-batch that fits rank 0.

        Raises:
            torch.OutOfMemoryError: If the micro-batch does not fit into the memory of a rank.
        """
        self._send(Probe(micro_batch=micro_batch, compile=is_compiled))
        if "no_memory" in self._await_answers():
            raise torch.OutOfMemoryError("another device of the run is out of memory")

    def take(self, step: int) -> None:
        """Makes the other ranks take a step; rank 0 must take the same step next."""
        if self._peers:
            self._send(Take(step=step))
            seed_step(self._seed, step=step, rank=0)

    def validate(self, *, averaged: bool = False) -> None:
        """Makes the other ranks validate; rank 0 must validate next, with the same weights."""
        self._send(Validate(averaged=averaged))

    def cause_of(self, error: Exception) -> Exception:
        """The root cause of `error` in rank 0: the failure of another rank, or `error` itself."""
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
        # After a failure, NCCL would wait for the failed rank, so its group stays open until this
        # process exits.
        is_open = self._peers and distributed.is_initialized()
        if is_open and (kind is None or distributed.get_backend() == "gloo"):
            distributed.destroy_process_group()
        for peer in self._peers:
            peer.wait(CLOSE_SECONDS)
        if self._peers:
            torch.set_num_threads(self._threads)  # later stages may use all threads again
        self._remove_folder()

    def _remove_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _send(self, command: Command) -> None:
        for peer in self._peers:
            peer.send(command)

    def _await_answers(self) -> list[str]:
        answers = [peer.answer() for peer in self._peers]
        if None in answers:
            self._noticed.set()
            raise self._first_failure()
        return [answer.state for answer in answers if answer is not None]

    def _watch(self, peer: "Peer") -> None:
        """Handles the exit of a rank; runs in a thread for each rank."""
        self._death.set()  # always, because `cause_of` may be waiting for it
        if self._noticed.is_set():
            return
        log.error("%s", peer.failure())
        if not self._noticed.wait(self._notice_seconds):
            self._leave(self._first_failure())

    def _leave(self, failure: RunError | RankDied) -> None:
        """Ends this process, because its main thread waits in native code for an exited rank."""
        try:
            message = str(failure)
            self._emit(ErrorData(code=failure.code, message=message, hint=failure.hint))
            log.error("ending this process: %s", message)
        finally:
            self._remove_folder()
            os._exit(ExitCode.FAILED if isinstance(failure, RunError) else CRASHED)

    def _first_failure(self) -> RunError | RankDied:
        """The root cause: a `RunError` if there is one, else an exit by a signal, else any failure.

        Waits first, because other ranks may fail a moment later.
        """
        time.sleep(SETTLE_SECONDS)
        failures = [(peer.priority, peer.failure()) for peer in self._peers if peer.has_ended]
        return max(failures, key=lambda failure: failure[0])[1]


class Peer:
    """The process of another rank."""

    def __init__(self, rank: int, *, on_end: Callable[["Peer"], None]) -> None:
        self.rank = rank
        self._on_end = on_end
        self._answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._failed: Answer | None = None
        self._connection, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                python_command("core.training.distributed"), stdin=theirs.fileno()
            )
        threading.Thread(target=self._listen, name=f"rank-{rank}", daemon=True).start()

    @property
    def has_ended(self) -> bool:
        """True after the process has exited."""
        return self._process.poll() is not None

    @property
    def priority(self) -> int:
        """Priority of the failure. The failed rank with the highest priority is the root cause."""
        if self._failed is not None and self._failed.error is not None:
            return 2
        return int((self._process.returncode or 0) < 0)

    def send(self, command: Command) -> None:
        """Sends a command.

        Raises:
            OSError: If the process has exited.
        """
        send(self._connection, command)

    def answer(self) -> Answer | None:
        """Waits for the answer to a command; returns None if the process exits instead."""
        return self._answers.get()

    def failure(self) -> RunError | RankDied:
        """The error with which the run ends because this process has exited."""
        if self._failed is not None and self._failed.error is not None:
            named = RunError(self._failed.error.message, hint=self._failed.error.hint)
            named.code = self._failed.error.code
            return named
        status = self._process.returncode
        how = f"exited with status {status}; the log has the reason"
        if status is not None and status < 0:
            how = f"was killed by {signal.Signals(-status).name}"
        return RankDied(f"the process of device {self.rank} {how}")

    def end(self, *, is_finished: bool) -> None:
        """Sends `End` if the run is finished; then closes the connection to end the process."""
        try:
            if is_finished:
                send(self._connection, End())
            self._connection.shutdown(socket.SHUT_WR)
        except OSError as error:
            log.debug("rank %d has already exited: %s", self.rank, error)

    def wait(self, seconds: float) -> None:
        """Waits until the process exits; kills it after `seconds`."""
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
                self._failed = answer
            else:
                self._answers.put(answer)
        self._process.wait()
        self._answers.put(None)
        self._on_end(self)
