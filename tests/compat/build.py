"""Builds the environments of the compatibility tests under `.compat/`.

One at the releases that the BabyLM evaluation pipelines pin, one at the last transformers 4, and
one at the newest transformers 5 with the lm-evaluation-harness. An environment whose wheels cannot
be installed is reported and left out; its tests are then skipped by name.
"""

import subprocess
import sys
import venv

from tests.compat.environments import ENVIRONMENTS, FOLDER, STAMP, TORCH, python_of

PIP = ("-m", "pip", "install", "-q", "--disable-pip-version-check")


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
    # torch first and pinned: its dependents would install a build of several gigabytes.
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
