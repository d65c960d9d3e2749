"""The command line of every Python child, and the launcher that it runs.

Python puts the working folder first on the import path of `python -m` and `python -c`. Users start
the service in folders of their own, where a `core.py` or a `random.py` would then be imported in
place of ours. A child started by `python_command` never imports from the working folder:

- `-P` keeps the folder off its import path.
- `PYTHONSAFEPATH`, which the launcher sets, does the same for the processes that libraries start,
  such as the workers of torch.compile.
- The packages are those of the parent, even if another copy of the project is installed.

Imports only the standard library: as the launcher, it runs before any package can be found.
"""

import os
import runpy
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
"""The folder that holds our packages: a checkout or site-packages."""


def python_command(module: str, *arguments: str) -> list[str]:
    """The command that runs `module` as `python -m` does, safe from files in the working folder."""
    return [sys.executable, "-P", os.path.abspath(__file__), module, *arguments]


def safe_python() -> list[str]:
    """The interpreter and its option, for templates that name the module themselves."""
    return [sys.executable, "-P"]


def isolated_command(file: str) -> list[str]:
    """The command that runs a file with `python -I`, which ignores `PYTHON*` variables too.

    For a program that needs none of our packages.
    """
    return [sys.executable, "-I", file]


def main() -> None:
    """Runs the module that the first argument names, with the others as its arguments."""
    del sys.argv[0]  # `run_module` replaces what is first now, the name, by the module's file
    os.environ["PYTHONSAFEPATH"] = "1"
    if os.path.realpath(ROOT) not in map(os.path.realpath, sys.path):
        sys.path.insert(0, ROOT)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
