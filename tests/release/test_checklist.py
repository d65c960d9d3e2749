"""The checklist of a release runs in a repository with a copy of the files that it reads."""

import shutil
import subprocess
from pathlib import Path

import pytest

from release.checklist import StepFailed, run, version

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path):
    for name in ("pyproject.toml", "CHANGELOG.md", "docker-compose.yml"):
        shutil.copy(ROOT / name, tmp_path)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "all")
    return tmp_path


def git(folder, *arguments):
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True)


def dry(project):
    lines = []
    run(project, is_dry=True, report=lines.append)
    return lines


def test_a_dry_run_checks_this_version_and_runs_no_command(project):
    lines = dry(project)
    assert [line.split(":")[0] for line in lines] == [
        *("ok    clean tree", "ok    changelog", "ok    image tags", "ok    new tag"),
        *("would lint", "would tests", "would wheel", "would wheel check", "would tag"),
    ]
    assert lines[-1].endswith(f"git tag -a v{version(ROOT)} -m v{version(ROOT)}")
    assert {path.name for path in project.iterdir()} == {
        *("pyproject.toml", "CHANGELOG.md", "docker-compose.yml", ".git"),
    }


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("CHANGELOG.md", f"## {version(ROOT)} (", "## 9.9.9 (", "CHANGELOG.md is 9.9.9"),
        ("docker-compose.yml", "BABYLM_VERSION:-", "BABYLM_VERSION:-9", "tags images with 9"),
    ],
)
def test_a_version_that_differs_stops_the_release(project, name, old, new, message):
    path = project / name
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(StepFailed, match=name):
        dry(project)
    git(project, "commit", "-qam", "changed")
    with pytest.raises(StepFailed, match=message):
        dry(project)


def test_a_version_that_has_a_tag_stops_the_release(project):
    git(project, "tag", f"v{version(ROOT)}")
    with pytest.raises(StepFailed, match="increase the version"):
        dry(project)
