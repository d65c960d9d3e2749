"""Builds the environments of the compatibility tests under `.compat/`.

The first environment has the releases that the BabyLM evaluation pipelines pin, the second has the
last transformers 4, and the third has the newest transformers 5 and the lm-evaluation-harness. If
the wheels of an environment cannot be installed, the program reports this and continues with the
next environment; pytest then skips the tests of the missing environment.
"""

import subprocess
import sys
import venv

from tests.compat.environments import ENVIRONMENTS, FOLDER, STAMP, TORCH, python_of

# Without --no-compile, pip compiles all modules of three torches; the tests import few of them.
PIP = ("-m", "pip", "install", "-q", "--no-compile", "--disable-pip-version-check")


def build(name: str, requirements: tuple[str, ...]) -> bool:
    """Creates the environment unless it exists with the same requirements; False if pip fails."""
    folder = FOLDER / name
    content = "\n".join((TORCH, *requirements)) + "\n"
    stamp = folder / STAMP
    if stamp.exists() and stamp.read_text() == content:
        return True
    print(f"compat: installing {', '.join(requirements)} into {folder}", flush=True)
    venv.create(folder, clear=True, with_pip=True)
    constraint = folder / "constraints.txt"
    constraint.write_text(f"{TORCH}\n")
    # Installs a pinned torch first, because packages that depend on torch would otherwise install a
    # build of several gigabytes.
    for wanted in ((TORCH, "numpy"), requirements):
        command = [python_of(name), *PIP, "-c", str(constraint), *wanted]
        if subprocess.run(command).returncode != 0:
            print(f"compat: {name} is left out: pip cannot install {', '.join(wanted)}")
            return False
    stamp.write_text(content)
    return True


def main() -> None:
    """Builds all environments."""
    built = [name for name, requirements in ENVIRONMENTS.items() if build(name, requirements)]
    print(f"compat: environments: {', '.join(built) or 'none'}")


if __name__ == "__main__":
    sys.exit(main())
