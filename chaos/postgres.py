"""Runs an installed Postgres server with its files in a temporary folder."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

START_SECONDS = 30.0
UNPRIVILEGED = ("postgres", "nobody")


def find_programs() -> Path | None:
    """The folder of initdb and postgres; None if no server is installed."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


class Server:
    """A server with its own data folder, which can be stopped and started again."""

    def __init__(
        self, programs: Path, folder: Path, *, fsync: bool = False, addresses: Sequence[str] = ()
    ) -> None:
        self.programs, self.folder = programs, folder
        self._fsync = "on" if fsync else "off"
        self._addresses = ("127.0.0.1", *addresses)
        self.user = None if os.geteuid() else next(name for name in UNPRIVILEGED if _exists(name))
        if self.user is not None:  # Postgres refuses to run as root
            shutil.chown(folder, self.user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"postgresql+psycopg://babylm@127.0.0.1:{self.port}/postgres"
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "--auth=trust", "--username=babylm", "--no-sync", "--encoding=UTF8")
        with (folder / "data/pg_hba.conf").open("a") as rules:
            rules.writelines(f"host all all {each}/24 trust\n" for each in addresses)

    def start(self) -> None:
        """Starts the server; returns when it accepts connections."""
        settings = (f"fsync={self._fsync}", "max_connections=300", f"port={self.port}")
        options = [word for each in settings for word in ("-c", each)]
        addresses = ("-c", f"listen_addresses={','.join(self._addresses)}", "-k", str(self.folder))
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.programs / "postgres", "-D", self.folder / "data", *options, *addresses],
                stdout=log,
                stderr=log,
                user=self.user,
                cwd=self.folder,
                start_new_session=True,
            )
        engine = create_engine(self.url)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                engine.connect().close()
                break
            except OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        engine.dispose()

    @property
    def pid(self) -> int:
        """Process id of the server's main process. Its child processes serve the connections."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """Stops the server by a fast shutdown, which closes all connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(START_SECONDS)

    def _run(self, name: str, *options: str) -> None:
        subprocess.run(
            [self.programs / name, "-D", self.folder / "data", *options],
            check=True,
            capture_output=True,
            user=self.user,
            cwd=self.folder,
        )


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


@contextmanager
def temporary_server(
    *, fsync: bool = False, addresses: Sequence[str] = ()
) -> Iterator[Server | None]:
    """A running server; None if Postgres is not installed.

    Args:
        fsync: Whether a commit waits until its data is on the disk.
        addresses: Further IPv4 addresses on which the server listens. The server also accepts
            clients from the /24 network of each of these addresses.
    """
    programs = find_programs()
    if programs is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        server = Server(programs, Path(folder), fsync=fsync, addresses=addresses)
        server.start()
        try:
            yield server
        finally:
            with suppress(subprocess.TimeoutExpired):
                server.stop()
