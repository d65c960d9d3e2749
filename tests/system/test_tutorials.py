"""The notebooks of docs/tutorials, executed in a real kernel against the real service."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.system.service import ROOT, running_service

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]
FOLDER = ROOT / "docs" / "tutorials"
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
book = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(book, timeout=300, kernel_name="python3").execute()
nbformat.write(book, sys.argv[2])
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with running_service(tmp_path_factory.mktemp("service")) as service:
        yield service.http.base_url


def execute(name: str, folder: Path, url: Any) -> list[dict]:
    """The outputs of all cells, in a folder that holds files with the names of our packages."""
    for package in ("core", "jobs", "api", "worker"):
        (folder / f"{package}.py").write_text("raise SystemExit('shadowed')")
    done = subprocess.run(
        [sys.executable, "-P", "-c", EXECUTE, str(FOLDER / name), str(folder / "done.ipynb")],
        cwd=folder,
        env=os.environ | {"BABYLM_URL": str(url), "IPYTHONDIR": str(folder / "ipython")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    cells = json.loads((folder / "done.ipynb").read_text())["cells"]
    return [output for cell in cells for output in cell.get("outputs", [])]


def of_type(outputs: list[dict], kind: str) -> list[str]:
    return ["".join(each["data"][kind]) for each in outputs if kind in each.get("data", {})]


def plotted(outputs: list[dict]) -> set[str]:
    """The texts of the chart."""
    root = ElementTree.fromstring(of_type(outputs, "image/svg+xml")[0])
    lines = [p for p in root.iter("{http://www.w3.org/2000/svg}path") if "L" in p.get("d", "")]
    assert lines, "no curve"
    return {element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")}


def test_from_submit_to_a_plotted_curve(url, tmp_path):
    outputs = execute("python-client.ipynb", tmp_path, url)
    assert {"tutorial", "training loss", "validation loss"} <= plotted(outputs)
    html = "".join(of_type(outputs, "text/html"))
    assert '<progress max="1" value="1.0000"' in html  # the bar that `wait` drew
    assert "best-0000" in html
    printed = "".join("".join(each.get("text", "")) for each in outputs)
    assert "The dog" in printed
    assert "training.learning_rate" in printed  # the suggestion for the mistyped field
    assert (tmp_path / "my-model" / "model.safetensors").exists()


@pytest.mark.long
def test_the_same_with_asyncio(url, tmp_path):
    outputs = execute("asyncio-client.ipynb", tmp_path, url)
    assert "['succeeded', 'succeeded']" in of_type(outputs, "text/plain")
    assert {"seed 2", "training loss"} <= plotted(outputs)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(path):
    cells = json.loads(path.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
