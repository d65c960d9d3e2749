"""No child imports from the working directory, and one function starts every child."""

import ast
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from core.process.pool import serve_in_order
from core.process.program import python_command
from tests.shadows import Shadows

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
FOLDERS = [*PACKAGES, "chaos", "benchmarks", "docs"]
STARTERS = {"multiprocessing", "concurrent.futures.process", "ProcessPoolExecutor"}
"""Names of modules and classes that start Python without `python_command`."""


@pytest.fixture
def shadows(tmp_path, monkeypatch) -> Shadows:
    """A folder with files that have the names of modules; the test runs in this folder."""
    made = Shadows(tmp_path / "shadows")
    monkeypatch.chdir(made.folder)
    return made


def run(command: list[str], **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def test_the_trap_springs_without_the_function(shadows):
    assert run([sys.executable, "-m", "core.run"]).returncode == 1
    assert shadows.imported() != []


def test_a_module_runs_with_its_arguments_and_its_exit_status(shadows, tmp_path):
    done = run(python_command("core.sample", str(tmp_path / "data")))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data" / "sample").is_dir()
    done = run(python_command("core.sample"))
    assert done.returncode == 1
    assert done.stderr == "usage: python -m core.sample DATA_DIR\n"
    assert run(python_command("worker", "--nonsense")).returncode == 2
    assert shadows.imported() == []


def test_a_process_that_a_child_starts_is_safe_too(shadows):
    done = run(python_command("tests.shadows"))
    assert done.returncode == 0, done.stderr
    assert shadows.imported() == []


def test_helpers_of_the_corpus_stages_are_safe(shadows):
    results = serve_in_order(
        ["__import__('os').getpid()"] * 200,
        make=partial,
        argument=eval,
        count=2,
        should_stop=lambda: False,
    )
    assert len(set(results)) <= 2
    assert shadows.imported() == []


def test_a_child_has_the_packages_of_its_parent(tmp_path):
    """A child must not import an installed copy if the parent imports the repository."""
    other = tmp_path / "other" / "core"
    (other / "process").mkdir(parents=True)
    for name in ("__init__.py", "process/__init__.py", "process/program.py"):
        shutil.copy(ROOT / "core" / name, other / name)
    (other / "run.py").write_text("print('another copy')")
    code = (
        f"import subprocess, sys; sys.path.insert(0, {str(other.parent)!r})\n"
        "from core.process.program import python_command\n"
        "subprocess.run(python_command('core.run'))"
    )
    assert run([sys.executable, "-P", "-c", code], cwd=tmp_path).stdout == "another copy\n"


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_python_child_is_started_by_the_one_function(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files or folder == "dashboard"
    found = [
        f"{file.relative_to(ROOT)}:{line}: {what}"
        for file in files
        if file != ROOT / "core" / "process" / "program.py"
        for line, what in starts(ast.parse(file.read_text()))
    ]
    assert found == [], "use core.process.program.python_command"


def starts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Expressions that name the interpreter or start it in another way."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("executable", "_base_executable"):
            yield node.lineno, node.attr
        elif isinstance(node, ast.List | ast.Tuple) and node.elts:
            first = node.elts[0]
            if isinstance(first, ast.Constant) and first.value in ("python", "python3"):
                yield node.lineno, first.value
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names}
            names |= {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
            for name in sorted(names):
                if name in STARTERS or name.startswith("multiprocessing.") or name == "executable":
                    yield node.lineno, name


@pytest.mark.parametrize(
    "code",
    [
        "import sys\nf([sys.executable, '-m', 'core.run'])",
        "from sys import executable",
        "f(['python3', '-m', 'core.run'])",
        "import multiprocessing.pool",
        "from concurrent.futures import ProcessPoolExecutor",
    ],
)
def test_the_walk_finds_each_way_of_starting_python(code):
    assert list(starts(ast.parse(code)))


def test_no_test_runs_a_module_by_a_command_line_of_its_own():
    own = Path(__file__)
    found = [
        str(file.relative_to(ROOT))
        for file in (ROOT / "tests").rglob("*.py")
        if file != own and 'sys.executable, "-m"' in file.read_text()
    ]
    assert found == []
