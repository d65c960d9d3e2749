"""The committed bundle; `make dashboard-check` compares it with the sources."""

import shutil
import subprocess
from pathlib import Path

import pytest

from core.process.program import python_command

DASHBOARD = Path(__file__).resolve().parents[2] / "dashboard"
MAX_TRANSFER_BYTES = 250_000
FONT = "inter.woff2"


def test_a_visit_transfers_little():
    sizes = {file.name: file.stat().st_size for file in (DASHBOARD / "dist").iterdir()}
    assert FONT in sizes
    visited = ("index.html", "app.js", "style.css", "icon.svg")
    assert sum(sizes[name] for name in visited) <= MAX_TRANSFER_BYTES


def test_the_bundle_is_that_of_the_sources(tmp_path):
    if shutil.which("node") is None or not (DASHBOARD / "node_modules").is_dir():
        pytest.skip("node_modules is not installed: make dashboard")
    document = tmp_path / "openapi.json"
    with document.open("w") as file:
        subprocess.run(python_command("api.openapi"), stdout=file, check=True)
    command = ["node", "build.mjs", "--check", str(document)]
    answer = subprocess.run(command, cwd=DASHBOARD, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def test_a_difference_between_bundle_and_sources_is_found(tmp_path):
    if shutil.which("node") is None or not (DASHBOARD / "node_modules").is_dir():
        pytest.skip("node_modules is not installed: make dashboard")
    copy = tmp_path / "dashboard"
    shutil.copytree(DASHBOARD, copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "node_modules").symlink_to(DASHBOARD / "node_modules")
    (copy / "dist" / "app.js").write_text("changed by hand")
    document = tmp_path / "openapi.json"
    with document.open("w") as file:
        subprocess.run(python_command("api.openapi"), stdout=file, check=True)
    command = ["node", "build.mjs", "--check", str(document)]
    answer = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert answer.returncode == 1
    assert "dist/app.js" in answer.stderr
