"""Command lines of Python child processes, and the launcher that they run.

Python puts the working folder first on the import path of `python -m` and `python -c`. Users start
the service in their own folders, where a `core.py` or a `random.py` would shadow the real module. A
child started by `python_command` never imports from the working folder:

- `-P` keeps the working folder off the import path of the child.
- `PYTHONSAFEPATH`, which the launcher sets, does the same for processes that libraries start, such
  as the workers of torch.compile.
- Packages come from the parent's installation, even if another copy of the project is installed.

The module imports only the standard library, because the launcher runs before packages can be
imported.
"""

import os
import runpy
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
"""The folder that contains this project's packages: a checkout or site-packages."""


def python_command(module: str, *arguments: str) -> list[str]:
    """The command that runs `module` like `python -m` but never imports the working folder."""
    return [sys.executable, "-P", os.path.abspath(__file__), module, *arguments]


def safe_python() -> list[str]:
    """The interpreter with `-P`, for callers that append a module or `-c` themselves."""
    return [sys.executable, "-P"]


def isolated_command(file: str) -> list[str]:
    """The command that runs a file with `python -I`, which also ignores `PYTHON*` variables.

    Use it for programs that need none of this project's packages.
    """
    return [sys.executable, "-I", file]


def main() -> None:
    """Runs the module named by the first argument, with the other arguments."""
    del sys.argv[
        0
    ]  # `run_module` replaces sys.argv[0], which is now the module name, by the file of the module
    os.environ["PYTHONSAFEPATH"] = "1"
    if os.path.realpath(ROOT) not in map(os.path.realpath, sys.path):
        sys.path.insert(0, ROOT)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
