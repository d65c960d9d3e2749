import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from typer.testing import CliRunner

from babylm import extras
from babylm.errors import CommandError
from babylm.main import app
from core.process.program import safe_python
from tests.babylm.conftest import error_of


@pytest.fixture
def without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # None in sys.modules makes the import fail


@pytest.mark.parametrize(
    "command", [["serve"], ["demo"], ["worker"], ["train", "spec.yaml", "--output", "out"]]
)
def test_a_command_that_trains_says_what_is_missing(without_torch, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    error = CliRunner().invoke(app, command).exception
    assert isinstance(error, CommandError)
    assert error.message == "this installation cannot train: torch is not installed"
    assert "babylm-service[train,embedded]" in error.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("package", "command"),
    [
        ("huggingface_hub", ["push", "last", "--to", "me/model"]),
        ("huggingface_hub", ["datasets", "add", "mine", "--hub", "me/text"]),
        ("gguf", ["export", "last"]),
    ],
)
def test_a_command_with_an_extra_says_what_is_missing(run, stub, monkeypatch, package, command):
    monkeypatch.setitem(sys.modules, package, None)
    error = error_of(run(*command, "--url", stub.url))
    assert error.message.endswith(f": {package} is not installed")
    assert error.hint.startswith("pip install 'babylm-service[")
    assert stub.requests == []


def test_without_a_token_nothing_is_built_for_the_hub(run, stub, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    error = error_of(run("push", "last", "--to", "me/model", "--url", stub.url))
    assert error.message == "there is no token for the Hugging Face Hub"
    assert stub.requests == []


def test_here_nothing_is_missing():
    extras.require_training()


OTHER_EXTRAS = ("train", "docs", "dev")
LIGHT = (
    *("api.main", "worker.__main__", "babylm.main", "babylm.tracking", "babylm.demo"),
    *("babylm.gguf_export", "babylm.hub_dataset", "babylm.hub_push", "babylm.client._sync.service"),
    "core.export.tracking.__main__",
)
"""Modules that start the service, its programs or a command. They import no training code."""
TRAINING = ("core.run", "core.short")
IMPORTED_BY_OTHERS = {"huggingface_hub", "numpy", "safetensors"}
"""Packages of extras that transformers imports too. Training needs transformers."""


def optional_modules() -> set[str]:
    """The modules that the extras install, except those of the extras in `OTHER_EXTRAS`."""
    with (Path(__file__).parents[2] / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    lines = [each for name in extras for each in extras[name] if name not in OTHER_EXTRAS]
    packages = {re.split(r"[\[<>=!~; ]", line)[0] for line in lines}
    installed = {
        module: found for module, found in packages_distributions().items() if packages & {*found}
    }
    missing = packages - {name for found in installed.values() for name in found}
    return {*installed, *(name.replace("-", "_") for name in missing)}


def test_no_extra_is_imported_by_what_does_not_use_it():
    """Runs in a new process, because this process has already loaded some of the modules."""
    wanted = optional_modules()
    assert wanted >= {"gguf", "tensorboard", "pyarrow", "zstandard", "psycopg", "standardwebhooks"}
    code = f"import sys, {', '.join(LIGHT)}\nprint(*{wanted} & set(sys.modules))\n"
    code += f"import {', '.join(TRAINING)}\nprint(*{wanted} & set(sys.modules))"
    done = subprocess.run([*safe_python(), "-c", code], capture_output=True, text=True, check=True)
    light, training = (set(line.split()) for line in done.stdout.split("\n")[:2])
    assert light == set()
    assert training <= IMPORTED_BY_OTHERS
