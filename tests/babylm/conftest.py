import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from babylm.client import Client
from babylm.client.errors import BabylmError
from babylm.main import app
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


def error_of(result: Result) -> BabylmError:
    assert isinstance(result.exception, BabylmError), result.exception
    return result.exception
