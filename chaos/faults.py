"""The faults. Each is a function that returns True if it found something to disturb."""

import os
import random
import shutil
import signal
import sqlite3
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from chaos.client import Client
from chaos.postgres import Server
from chaos.processes import STOP_SECONDS, Part, Service
from chaos.workload import Spec
from jobs.queue import BROKER_ERRORS, TASKS, connect, make_app

LOCK_SECONDS = 3.0
DOWN_SECONDS = 2.0
LARGEST_DISK_BYTES = 1 << 30
FULL_SECONDS = 2.0
WIPED_SECONDS = 1.0
CALLS = 20
STORM = 8
CLOCK_JUMPS = (3600.0, -3600.0, 0.0)
IN_TRAINING = b'"train/loss"'
TAIL_BYTES = 1000


@dataclass
class Target:
    """The parts of a round that faults can affect."""

    service: Service
    client: Client
    random: random.Random
    specs: dict[str, Spec] = field(default_factory=dict)
    """Submitted specs by key."""
    clock_file: Path | None = None
    """File with the clock offset of one worker; None if the clock cannot be changed."""
    is_small_disk: bool = False
    """Whether the runs folder is on a small file system of its own, which `fill_disk` may fill."""
    damaged: set[Path] = field(default_factory=set)
    """Resume points that a fault has damaged."""
    later: list[threading.Thread] = field(default_factory=list)
    """Threads that act after a delay, mostly to undo a fault."""

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        """Calls `act` after a delay; the round ends only after this call."""
        timer = threading.Timer(seconds, act)
        timer.start()
        self.later.append(timer)

    def trainer(self) -> tuple[int, str] | None:
        """The id of a process that is training, and the id of its job."""
        found = [
            (pid, job)
            for pid, job in sorted(self.service.trainers().items())
            if self._is_training(job)
        ]
        return self.random.choice(found) if found else None

    def _is_training(self, job: str) -> bool:
        journal = self.service.runs / "jobs" / job / "events.jsonl"
        try:
            with journal.open("rb") as file:
                file.seek(max(0, journal.stat().st_size - TAIL_BYTES))
                return IN_TRAINING in file.read()
        except FileNotFoundError:
            return False

    def worker(self) -> Part:
        """A random train worker."""
        return self.random.choice(self.service.worker_parts())


def _signal_trainer(number: signal.Signals) -> Callable[[Target], bool]:
    def act(target: Target) -> bool:
        found = target.trainer()
        if found is None:
            return False
        _kill(found[0], number)
        if number == signal.SIGSTOP:
            target.after(STOP_SECONDS, lambda: _kill(found[0], signal.SIGCONT))
        return True

    return act


def _signal_part(
    choose: Callable[[Target], Part | None], number: signal.Signals
) -> Callable[[Target], bool]:
    def act(target: Target) -> bool:
        part = choose(target)
        pid = part.pid if part is not None else None
        if part is None or pid is None:
            return False
        _kill(pid, number)
        if number == signal.SIGSTOP:
            target.after(STOP_SECONDS, lambda: _kill(pid, signal.SIGCONT))
        return True

    return act


def _part(name: str) -> Callable[[Target], Part | None]:
    return lambda target: target.service.parts.get(name)


def _kill(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def kill_worker_and_trainer(target: Target) -> bool:
    """Kills a worker and all training processes at once, as the end of a container does."""
    pids = list(target.service.trainers())
    is_hit = target.worker().send(signal.SIGKILL)
    for pid in pids:
        _kill(pid, signal.SIGKILL)
    return is_hit


def flush(target: Target) -> bool:
    """Removes all data of Redis."""
    broker = target.service.broker
    if broker is None:
        return False
    client = connect(broker.url)
    try:
        return bool(client.flushall())
    except BROKER_ERRORS:
        return False
    finally:
        client.close()


def wipe_redis(target: Target) -> bool:
    """Kills Redis and restarts it with an empty folder."""
    service = target.service
    part = service.parts.get("redis")
    if part is None or service.broker is None:
        return False
    service.held.add("redis")
    is_hit = part.send(signal.SIGKILL)
    folder = service.broker.folder

    def restart() -> None:
        for path in folder.iterdir():
            if path.name.startswith(("appendonly", "dump")):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        service.held.discard("redis")

    target.after(WIPED_SECONDS, restart)
    return is_hit


def _calls(queue: str, task: str) -> Callable[[Target], bool]:
    """A fault that adds CALLS messages of a Celery task to a queue, although no job needs them."""

    def act(target: Target) -> bool:
        broker = target.service.broker
        if broker is None:
            return False
        app = make_app(broker.url)
        try:
            for _ in range(CALLS):
                app.send_task(task, queue=queue)
        except BROKER_ERRORS:
            return False
        finally:
            app.close()
        return True

    return act


def _damage(name: str, spoil: Callable[[Path, random.Random], None]) -> Callable[[Target], bool]:
    """A fault that damages a file of a job's newest resume point and kills its training process."""

    def act(target: Target) -> bool:
        found = target.trainer()
        if found is None:
            return False
        pid, job = found
        folder = target.service.runs / "jobs" / job / "resume"
        points = sorted(folder.glob("step-??????")) if folder.is_dir() else []
        if not points:
            return False
        # Damages a copy and then replaces the file by it. The weights may be a hard link to a
        # published file, which must stay undamaged.
        file, copy = points[-1] / name, points[-1] / "spoiled"
        try:
            shutil.copyfile(file, copy)
            spoil(copy, target.random)
            copy.replace(file)
        except FileNotFoundError:  # a newer resume point has replaced it
            return False
        target.damaged.add(points[-1])
        _kill(pid, signal.SIGKILL)
        return True

    return act


def _flip_bit(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def _cut(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size))


def restart_postgres(target: Target) -> bool:
    """Stops the database server and restarts it."""
    server = target.service.postgres
    if server is None:
        return False
    server.stop()
    target.after(DOWN_SECONDS, server.start)
    return True


def lock_database(target: Target) -> bool:
    """Holds the write lock of the database for a while."""
    if target.service.postgres is not None:
        return _lock_jobs(target, target.service.postgres)
    connection = sqlite3.connect(
        target.service.runs / "babylm.sqlite3", isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        connection.close()
        return False

    def release() -> None:
        connection.rollback()
        connection.close()

    target.after(LOCK_SECONDS, release)
    return True


def _lock_jobs(target: Target, server: Server) -> bool:
    engine = create_engine(server.url)
    try:
        connection = engine.connect()
        connection.exec_driver_sql("LOCK TABLE job IN EXCLUSIVE MODE")
    except SQLAlchemyError:  # the server restarts
        engine.dispose()
        return False

    def release() -> None:
        with suppress(SQLAlchemyError):
            connection.close()
        engine.dispose()

    target.after(LOCK_SECONDS, release)
    return True


def fill_disk(target: Target) -> bool:
    """Fills the file system of the runs folder for a while."""
    # Checked each time: without the small file system, this fault would fill the host's disk.
    if (
        not target.is_small_disk
        or shutil.disk_usage(target.service.runs).total > LARGEST_DISK_BYTES
    ):
        return False
    ballast = target.service.runs / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1 << 20)):
            pass
    target.after(FULL_SECONDS, lambda: ballast.unlink(missing_ok=True))
    return True


def jump_clock(target: Target) -> bool:
    """Moves the wall clock of one worker and its children by an hour, or corrects it again."""
    if target.clock_file is None:
        return False
    set_clock(target.clock_file, target.random.choice(CLOCK_JUMPS))
    return True


def set_clock(file: Path, seconds: float) -> None:
    """Writes the offset for `clock.c` into the file, in place, because a worker has mapped it."""
    with file.open("r+b" if file.exists() else "wb") as writer:
        writer.write(struct.pack("d", seconds))


def cancel_storm(target: Target) -> bool:
    """Cancels one job many times at once."""
    return _storm(target, "cancel")


def pause_storm(target: Target) -> bool:
    """Pauses and resumes one job many times at once."""
    return _storm(target, "pause", "resume")


def _storm(target: Target, *actions: str) -> bool:
    found = target.trainer()
    if found is None:
        return False
    with ThreadPoolExecutor(STORM) as pool:
        asked = [
            pool.submit(target.client.act, found[1], actions[n % len(actions)])
            for n in range(STORM)
        ]
    return any(each.result() for each in asked)


def resubmit_storm(target: Target) -> bool:
    """Submits the same key and body many times at once."""
    if not target.specs:
        return False
    key = target.random.choice(sorted(target.specs))

    def again() -> None:
        with ThreadPoolExecutor(STORM) as pool:
            list(pool.map(lambda _: target.client.submit(key, target.specs[key]), range(STORM)))

    target.after(0.0, again)
    return True


def _any_worker(target: Target) -> Part:
    return target.worker()


FAULTS: dict[str, Callable[[Target], bool]] = {
    "kill trainer": _signal_trainer(signal.SIGKILL),
    "stop trainer": _signal_trainer(signal.SIGSTOP),
    "end trainer": _signal_trainer(signal.SIGTERM),
    "kill worker": _signal_part(_any_worker, signal.SIGKILL),
    "stop worker": _signal_part(_any_worker, signal.SIGSTOP),
    "end worker": _signal_part(_any_worker, signal.SIGTERM),
    "kill worker and trainers": kill_worker_and_trainer,
    "kill api": _signal_part(_part("api"), signal.SIGKILL),
    "stop api": _signal_part(_part("api"), signal.SIGSTOP),
    "kill redis": _signal_part(_part("redis"), signal.SIGKILL),
    "stop redis": _signal_part(_part("redis"), signal.SIGSTOP),
    "flush redis": flush,
    "wipe redis": wipe_redis,
    "duplicate calls": _calls("train", TASKS["train"]),
    "stale calls": _calls("train", "babylm.of_another_version"),
    "flip a bit of a checkpoint": _damage("optimizer.safetensors", _flip_bit),
    "truncate a checkpoint": _damage("model.safetensors", _cut),
    "truncate a manifest": _damage("manifest.json", _cut),
    "lock database": lock_database,
    "restart postgres": restart_postgres,
    "fill disk": fill_disk,
    "jump clock": jump_clock,
    "cancel storm": cancel_storm,
    "pause storm": pause_storm,
    "resubmit storm": resubmit_storm,
}
"""Faults by name; a round applies them in turn, in an order that depends on its seed."""
IN_TRAINER = {
    "kill trainer",
    "stop trainer",
    "end trainer",
    "kill worker and trainers",
    "flip a bit of a checkpoint",
    "truncate a checkpoint",
    "truncate a manifest",
    "fill disk",
    "cancel storm",
    "pause storm",
}
"""Faults that need a process that is training."""
