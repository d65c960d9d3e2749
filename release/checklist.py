"""The steps of a release, in order; each is a check or a command."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADING = re.compile(
    r"^## (?P<version>\d+\.\d+\.\d+\S*) \((?P<date>\d{4}-\d\d-\d\d)\)$", re.MULTILINE
)
IMAGE_VERSION = re.compile(r"\$\{BABYLM_VERSION:-([^}]*)\}")


class StepFailed(Exception):
    """A step of the release failed; the message says what to do."""


@dataclass(frozen=True)
class Step:
    """A step: a check, which a dry run carries out too, or a command."""

    name: str
    check: Callable[[Path], None] | None = None
    command: tuple[str, ...] = ()


def version(root: Path) -> str:
    """The version in pyproject.toml."""
    with (root / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def check_tree(root: Path) -> None:
    """Checks that everything is committed.

    Raises:
        StepFailed: If a file is not committed; the message lists such files.
    """
    answer = subprocess.run(
        ["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True
    )
    if answer.stdout:
        raise StepFailed(f"these files are not committed; commit or remove them:\n{answer.stdout}")


def check_changelog(root: Path) -> None:
    """Checks that the newest heading of CHANGELOG.md is the version of pyproject.toml.

    Raises:
        StepFailed: If the two versions differ.
    """
    heading = HEADING.search((root / "CHANGELOG.md").read_text(encoding="utf-8"))
    found = heading["version"] if heading else "missing"
    if found != version(root):
        raise StepFailed(
            f"the newest version in CHANGELOG.md is {found}, and pyproject.toml has "
            f"{version(root)}: change one of them"
        )


def check_images(root: Path) -> None:
    """Checks that docker-compose.yml tags the images with the version of pyproject.toml.

    Raises:
        StepFailed: If an image tag has another version, or if there is no image tag.
    """
    text = (root / "docker-compose.yml").read_text(encoding="utf-8")
    tags = set(IMAGE_VERSION.findall(text))
    if tags != {version(root)}:
        raise StepFailed(
            f"docker-compose.yml tags images with {', '.join(sorted(tags)) or 'no version'}; "
            f"set the default of BABYLM_VERSION to {version(root)}"
        )


def check_tag(root: Path) -> None:
    """Checks that git has no tag of the version yet.

    Raises:
        StepFailed: If the tag exists.
    """
    tag = f"v{version(root)}"
    command = ["git", "tag", "--list", tag]
    answer = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    if answer.stdout.strip():
        raise StepFailed(f"the tag {tag} exists; increase the version in pyproject.toml")


def steps(root: Path) -> list[Step]:
    """All steps of a release of the project in `root`."""
    python, tag = sys.executable, f"v{version(root)}"
    return [
        Step("clean tree", check_tree),
        Step("changelog", check_changelog),
        Step("image tags", check_images),
        Step("new tag", check_tag),
        Step("lint", command=("make", "lint")),
        Step("tests", command=("make", "test")),
        Step("wheel", command=(python, "-m", "pip", "wheel", "--no-deps", "-w", "dist", ".")),
        Step("wheel check", command=(python, "-m", "release.wheel_check", "dist")),
        Step("tag", command=("git", "tag", "-a", tag, "-m", tag)),
    ]


def run(root: Path, *, is_dry: bool, report: Callable[[str], None]) -> None:
    """Carries out the steps; a dry run only checks, and names the commands.

    Raises:
        StepFailed: At the first step that fails.
    """
    for step in steps(root):
        if step.check is not None:
            step.check(root)
            report(f"ok    {step.name}")
        elif is_dry:
            report(f"would {step.name}: {' '.join(step.command)}")
        else:
            report(f"run   {step.name}: {' '.join(step.command)}")
            if subprocess.run(step.command, cwd=root).returncode:
                raise StepFailed(f"the step {step.name!r} failed; see its output above")
