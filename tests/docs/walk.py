"""Follows a tutorial on a copy of the project: its listings are written, its tests are run.

A listing names its file in the title of its fence. The old lines of a `diff` listing (context and
removed lines together) must be in the file exactly once, as one block; the new lines replace them.
Any other listing is a new file.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LISTING = re.compile(r'^```(\w+) title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
LEFT_OUT = ("dashboard/src/", "docs/images/", "benchmarks/", "chaos/")


@dataclass(frozen=True)
class Listing:
    """A block of code of a page, and the file that it belongs to."""

    language: str
    path: str
    text: str


def listings(page: str) -> list[Listing]:
    """The listings of a page below docs/ that name a file, in order."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    return [Listing(*found.groups()) for found in LISTING.finditer(text)]


def copy_project(folder: Path) -> Path:
    """Copies files that git tracks or does not ignore, apart from those in `LEFT_OUT`."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in listed:
        if (ROOT / name).is_file() and not name.startswith(LEFT_OUT):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    return folder


def apply(page: str, folder: Path) -> set[str]:
    """Writes all listings of a page into the copy; returns the files that are new or changed."""
    touched = set()
    for listing in listings(page):
        path = folder / listing.path
        if listing.language == "diff":
            _apply_diff(path, listing.text)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            assert not path.exists(), f"{page}: {listing.path} exists already"
            path.write_text(listing.text, encoding="utf-8")
        touched.add(listing.path)
    return touched


def _apply_diff(path: Path, diff: str) -> None:
    lines = diff.splitlines()
    old = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "+")
    new = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "-")
    replace(path, old, new)


def replace(path: Path, old: str, new: str) -> None:
    """Replaces text that is in a file exactly once."""
    text = path.read_text("utf-8")
    assert text.count(old) == 1, f"{path.name} has this {text.count(old)} times:\n{old}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def run(folder: Path, *arguments: str) -> str:
    """Runs Python in the copy, which is imported in place of this checkout; returns its output."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def lint(folder: Path, files: set[str]) -> None:
    """Checks files of the copy with ruff."""
    python = sorted(name for name in files if name.endswith(".py"))
    run(folder, "-m", "ruff", "check", "--no-cache", *python)
    run(folder, "-m", "ruff", "format", "--no-cache", "--check", *python)


def run_tests(folder: Path, *arguments: str) -> str:
    """Runs tests of the copy."""
    return run(folder, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", *arguments)
