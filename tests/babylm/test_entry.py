"""The start of the `babylm` command: Ctrl-C at any moment prints no traceback."""

import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from core.process.program import python_command
from tests.waiting import DEADLINE

ROOT = Path(__file__).resolve().parents[2]
INTERRUPT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Finder:
    def find_spec(self, name, path, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.path.insert(0, {root!r})
sys.meta_path.insert(0, Finder())
sys.argv = ["babylm", "--version"]
from {module} import {function}
{function}()
"""
"""Runs the entry of the command and sends Ctrl-C at the import of a module."""


def entry() -> tuple[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, function = project["scripts"]["babylm"].split(":")
    return module, function


@pytest.mark.parametrize("name", ["babylm.main", "typer", "babylm.commands.webhooks"])
def test_an_interrupt_while_modules_are_loaded_prints_no_traceback(name):
    module, function = entry()
    code = INTERRUPT.format(name=name, root=str(ROOT), module=module, function=function)
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=DEADLINE
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_entry_loads_no_large_module_before_it_handles_the_signal():
    module, _ = entry()
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert not {"typer", "babylm.main", "babylm.client"} & set(done.stdout.split())


def test_the_command_keeps_an_ignored_interrupt():
    """A shell starts background processes with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = subprocess.run(
            python_command("babylm.entry", "--version"), capture_output=True, text=True
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert (done.returncode, done.stdout.startswith("babylm ")) == (0, True)
