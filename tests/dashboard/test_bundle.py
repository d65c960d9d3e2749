"""The committed bundle; `make dashboard-check` compares it with the sources."""

import shutil
import subprocess
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from core.process.program import python_command
from jobs.settings import Settings

DASHBOARD = Path(__file__).resolve().parents[2] / "dashboard"
MAX_TRANSFER_BYTES = 150_000
FONT = "inter.woff2"


def test_a_visit_transfers_little(tmp_path):
    app = create_app(Settings(_env_file=None, runs_dir=tmp_path))
    client = TestClient(app, base_url="http://localhost", client=("127.0.0.1", 50_000))
    transferred = 0
    for name in ("index.html", "app.js", "style.css", "icon.svg"):
        file = (DASHBOARD / "dist" / name).read_bytes()
        answer = client.get(f"/static/{name}", headers={"Accept-Encoding": "gzip"})
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.content == file  # the client has decompressed it
        transferred += int(answer.headers["content-length"])
        plain = client.get(f"/static/{name}", headers={"Accept-Encoding": "identity"})
        assert (plain.content, plain.headers["vary"]) == (file, "Accept-Encoding")
        known = {"If-None-Match": answer.headers["etag"], "Accept-Encoding": "gzip"}
        assert client.get(f"/static/{name}", headers=known).status_code == 304
    assert transferred <= MAX_TRANSFER_BYTES
    font = client.get(f"/static/{FONT}", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in font.headers
    app.state.context.database.dispose()  # the lifespan, which would do this, did not run


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
