import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from typer.testing import CliRunner, Result

from api.app import create_app
from babylm.client import Client
from babylm.client.errors import BabylmError
from babylm.main import app
from jobs.database import upgrade
from jobs.settings import Settings
from tests.babylm.stub import Stub, stub_service


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_service() as running:
        yield running


@pytest.fixture
def client(stub: Stub) -> Iterator[Client]:
    with Client(stub.url) as opened:
        yield opened


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Calls the command line with an empty environment in an empty folder."""
    for name in [name for name in os.environ if name.startswith("BABYLM_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def call(*words: object, **environment: str) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words], env=environment)

    return call


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and data folder of an API that runs without Redis and workers."""
    settings = Settings(_env_file=None, data_dir=tmp_path / "data", runs_dir=tmp_path / "runs")
    upgrade(settings.database_url)
    config = uvicorn.Config(create_app(settings), port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        pass
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}", settings.data_dir
    server.should_exit = True
    thread.join()


def error_of(result: Result) -> BabylmError:
    assert isinstance(result.exception, BabylmError), result.exception
    return result.exception
