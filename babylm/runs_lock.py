"""The lock of a runs folder: only one `babylm serve` at a time can use the folder."""

import fcntl
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from babylm.client.wire import Body
from babylm.errors import CommandError
from babylm.guard import wait_gone

LEFTOVER_SECONDS = 12.0
"""Seconds for the programs of an earlier `babylm serve` to end; after that they are killed."""


class RunsLock:
    """Locks a runs folder for this process; the kernel releases the lock when the process ends."""

    def __init__(self, runs_dir: Path) -> None:
        runs_dir.mkdir(parents=True, exist_ok=True)
        self._path = runs_dir / "serve.lock"
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._entry: Body = {"pid": os.getpid(), "url": None, "guards": []}

    def __enter__(self) -> Self:
        """Takes the lock.

        Raises:
            CommandError: If another process holds the lock; the message names the process.
        """
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = self._read()
            os.close(self._file)
            where = f" at {holder['url']}" if holder.get("url") else ""
            raise CommandError(
                f"`babylm serve` with process id {holder.get('pid', 'unknown')} already serves "
                f"{self._path.parent}{where}",
                hint="Stop that one, or set BABYLM_RUNS_DIR to another folder.",
                details=holder,
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.ftruncate(self._file, 0)
        os.close(self._file)

    def record(self, *, url: str | None, guards: Sequence[int]) -> None:
        """Records the address of this serve and the process ids of its guards.

        A guard (`babylm.guard`) is the parent process of one program of serve.
        """
        import psutil

        entries = []
        for pid in guards:
            try:
                entries.append([pid, psutil.Process(pid).create_time()])
            except psutil.NoSuchProcess:
                continue
        self._entry |= {"url": url, "guards": entries}
        content = json.dumps(self._entry).encode()
        os.pwrite(self._file, content, 0)
        os.ftruncate(self._file, len(content))

    def end_leftovers(self, say: Callable[[str], None]) -> None:
        """Waits until the guards of an earlier serve have ended; kills those that take too long."""
        import psutil

        left = []
        for pid, created in self._read().get("guards", []):
            try:
                process = psutil.Process(pid)
                if process.create_time() == created:
                    left.append(process)
            except psutil.NoSuchProcess:
                continue
        if not left:
            return
        say(f"waiting for {len(left)} programs of an earlier serve to end")
        for stuck in wait_gone(left, seconds=LEFTOVER_SECONDS):
            try:
                os.killpg(stuck.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def _read(self) -> Body:
        try:
            entry = json.loads(os.pread(self._file, 65536, 0))
        except ValueError:
            return {}
        return entry if isinstance(entry, dict) else {}
