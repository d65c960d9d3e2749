"""A real server for the fuzzers: a separate process with jobs, a checkpoint and datasets."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import psutil

from core.events.types import StageData
from core.process.program import python_command
from jobs.database import Database, upgrade
from jobs.settings import Settings
from tests.api.conftest import World, write_corpus
from tests.waiting import DEADLINE, wait_for

KEY = "a-key-of-the-fuzzer-0123456789"
MAX_GROWTH_BYTES = 50 << 20
"""Maximum growth, in bytes, of the server's memory after the warm-up requests."""


@dataclass
class Server:
    """A server that listens on loopback."""

    port: int
    process: "subprocess.Popen[bytes]"
    log: Path
    job_id: str
    key: str | None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def resident_bytes(self) -> int:
        return psutil.Process(self.process.pid).memory_info().rss

    def is_healthy(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


@contextmanager
def running_server(folder: Path, *, key: str | None = None) -> Iterator[Server]:
    """Runs a server with its own database and folders, which are below `folder`."""
    settings = Settings(_env_file=None, data_dir=folder / "data", runs_dir=folder / "runs")
    write_corpus(settings.data_dir)
    settings.runs_dir.mkdir()
    upgrade(settings.database_url)
    job_id = _seed(settings)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {name: value for name, value in os.environ.items() if "BABYLM" not in name}
    environment |= {
        "BABYLM_DATA_DIR": str(settings.data_dir),
        "BABYLM_RUNS_DIR": str(settings.runs_dir),
        "BABYLM_PORT": str(port),
        "BABYLM_UPLOAD_BYTES": str(8 << 20),
        "MALLOC_ARENA_MAX": "2",
    }
    if key is not None:
        environment["BABYLM_API_KEY"] = key
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            python_command("babylm.main", "api"),
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = Server(port, process, log, job_id, key)
    try:

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()
            return server.is_healthy()

        wait_for(is_ready, what=log.read_text)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=DEADLINE)


def _seed(settings: Settings) -> str:
    """Creates jobs in several states; returns the id of the job with the checkpoint."""
    database = Database(settings.database_url)
    world = World(database, settings)
    ended = world.running(name="ended")
    for stage in ("clean", "tokenizer"):
        counts = {"vocab_size": 300}
        world.record(ended, StageData(stage=stage, state="finished", counts=counts))
    for step in range(1, 50):
        world.metrics(ended, step, train__loss=5.0 / step)
    world.checkpoint(ended, files={"config.json": b"{}", "model.safetensors": bytes(5000)})
    log = settings.job_folder(ended) / "run.log"
    log.write_text("line of a log\n" * 100)
    world.end(ended)
    world.running(name="running")
    world.job(name="queued")
    database.dispose()
    return ended
