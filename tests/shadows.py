"""A folder with files that have the names of modules. Importing such a file ends the process."""

import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

OURS = {"api", "babylm", "chaos", "cli", "core", "dashboard", "jobs", "migrations", "worker"}
TRAP = """
with open({trace!r}, "a") as trace:
    trace.write(__name__ + "\\n")
raise SystemExit("shadowed")
"""


class Shadows:
    """The folder. Four of our packages have a folder in it, and all other modules have a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._trace = folder.parent / "imported"
        folder.mkdir()
        text = TRAP.format(trace=str(self._trace))
        for name in OURS | sys.stdlib_module_names | set(packages_distributions()):
            file = folder / f"{name}.py"
            if name in {"api", "jobs", "dashboard", "babylm"}:
                file = folder / name / "__init__.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def imported(self) -> list[str]:
        """The names that were imported from the folder."""
        return self._trace.read_text().split() if self._trace.exists() else []


def grandchild() -> None:
    """Starts Python as torch does: with the working directory on the import path."""
    subprocess.run([sys.executable, "-c", "import random, token, core"], check=True)


if __name__ == "__main__":
    grandchild()
