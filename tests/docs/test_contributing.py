"""The table "to add X, change Y" of CONTRIBUTING.md is true."""

import re

import pytest

from tests.docs.walk import ROOT, copy_project, replace, run, run_tests

KINDS = {
    *("an architecture", "a corpus source", "a metric", "an event", "a failure of a run"),
    *("a setting", "an optimizer", "a schedule", "a stage", "an endpoint", "a command", "a chart"),
}
CODE = re.compile(r"`([^`]+)`")
DEFINED = re.compile(r"`(\w+)` in `([^`]+)`")


def table() -> dict[str, str]:
    """For each thing that can be added: the rest of its row, which names files to change."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    text = text.split("## To add X, change Y")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ", 1) for line in text.splitlines() if line[:2] == "| "]
    return {re.sub(r" \(\[.*", "", first): rest for first, rest in rows[2:]}


def is_path(text: str) -> bool:
    return "/" in text or re.search(r"\.(py|md|toml|ts)$", text) is not None


def test_the_table_has_a_row_for_every_kind():
    assert set(table()) >= KINDS


@pytest.mark.parametrize("kind", table())
def test_paths_of_a_row_exist_and_names_are_defined_in_their_files(kind):
    row = table()[kind]
    for path in filter(is_path, CODE.findall(row)):
        pattern = re.sub(r"<\w+>", "*", path)
        found = [
            each for each in ROOT.glob(pattern) if each.name != "__init__.py" or "*" not in path
        ]
        assert found, path
    for name, path in DEFINED.findall(row):
        text = (ROOT / path).read_text("utf-8")
        definition = (
            rf"^ *(?:(?:export )?(?:const |class |def |function |async def ))?{name}\b[:( ]"
        )
        assert re.search(definition, text, re.MULTILINE), f"{path} does not define {name}"


ADDITIONS = (
    # (kind, file, text that the file has once, text that replaces it)
    (
        "a metric",
        "core/events/metrics.py",
        "CATALOGUE: tuple[Metric, ...] = (\n",
        'CATALOGUE: tuple[Metric, ...] = (\n    Metric("test/dummy", "1", "A dummy."),\n',
    ),
    (
        "an event",
        "core/events/types.py",
        "PAYLOADS: dict[str, type[EventData]] = {\n",
        'class DummyData(EventData):\n    """A dummy event."""\n\n    number: int\n\n\n'
        'PAYLOADS: dict[str, type[EventData]] = {\n    "dummy": DummyData,\n',
    ),
    (
        "a failure of a run",
        "core/errors.py",
        "class SpecInvalid(RunError):\n",
        'class DummyError(RunError):\n    """A dummy failure."""\n\n    code = "dummy"\n'
        '    hint = "Remove it."\n\n\nclass SpecInvalid(RunError):\n',
    ),
    (
        "a failure of a run",
        "api/errors.py",
        "    core_errors.SpecInvalid: 422,\n",
        "    core_errors.SpecInvalid: 422,\n    core_errors.DummyError: 422,\n",
    ),
    (
        "a setting",
        "jobs/settings.py",
        "    data_dir: Path = Field(",
        '    dummy: int = Field(default=1, description="A dummy setting.")\n'
        "    data_dir: Path = Field(",
    ),
    (
        "a schedule",
        "core/spec/training.py",
        '    schedule: Literal["linear", ',
        '    schedule: Literal["dummy", "linear", ',
    ),
    (
        "a schedule",
        "core/training/optimizers/schedule.py",
        '    if training.schedule == "wsd":\n',
        '    if training.schedule == "dummy":\n        return 0.5 * peak\n'
        '    if training.schedule == "wsd":\n',
    ),
    (
        "a stage",
        "core/events/types.py",
        'StageName = Literal[\n    "clean", ',
        'StageName = Literal[\n    "clean", "dummy", ',
    ),
    (
        "a stage",
        "core/stages/reporter.py",
        '    "clean": 0.03,\n',
        '    "clean": 0.02,\n    "dummy": 0.01,\n',
    ),
    (
        "a stage",
        "core/pipeline.py",
        "        train, validation = clean_splits(run, reporter)\n",
        "        train, validation = clean_splits(run, reporter)\n"
        '        with reporter.stage("dummy"):\n            pass\n',
    ),
    (
        "an endpoint",
        "api/routes/system.py",
        '@router.get("/workers")\n',
        '@router.get("/dummy")\ndef dummy() -> dict[str, int]:\n    """A dummy call."""\n'
        '    return {"dummy": 1}\n\n\n@router.get("/workers")\n',
    ),
    (
        "an endpoint",
        "api/generate_docs.py",
        '    "GET /v1/workers": ',
        '    "GET /v1/dummy": \'curl "$URL/v1/dummy"\',\n    "GET /v1/workers": ',
    ),
    (
        "a command",
        "babylm/commands/catalogue.py",
        "    for command in (presets, workers):\n",
        "    for command in (dummy, presets, workers):\n",
    ),
    (
        "a command",
        "babylm/commands/catalogue.py",
        "def presets(",
        'def dummy() -> None:\n    """Print a dummy."""\n    print("dummy")\n\n\ndef presets(',
    ),
    (
        "a command",
        "babylm/generate_docs.py",
        '    "presets": ',
        '    "dummy": "babylm dummy",\n    "presets": ',
    ),
)
SHOWS_THE_ADDITIONS = """
import json
from babylm.generate_docs import EXAMPLES, command_names
from core.spec.plan import make_plan
from core.spec.training import TrainingSpec
from core.training.optimizers.schedule import learning_rate

assert set(command_names()) == set(EXAMPLES)
training = TrainingSpec(schedule="dummy", learning_rate=1.0, warmup_steps=0, max_steps=9)
assert learning_rate(5, make_plan(training, num_tokens=10_000), training) == 0.5
"""


@pytest.mark.long
@pytest.mark.timeout(600)
def test_files_that_the_table_names_are_enough_to_add_one_of_each(tmp_path):
    """Adds all of them in a copy of the project, generates its pages and runs its tests.

    This takes long, because Python starts six times.
    """
    copy = copy_project(tmp_path / "copy")
    for kind, path, old, new in ADDITIONS:
        named = [re.sub(r"<\w+>.*", "", each) for each in CODE.findall(table()[kind])]
        assert any(path.startswith(each) for each in named if is_path(each)), (kind, path)
        replace(copy / path, old, new)
    # As `make docs` does, but without docs/cli.md, because writing it starts each command.
    run(copy, "docs/generate.py")
    (copy / "docs/api.md").write_text(run(copy, "-m", "api.generate_docs"), "utf-8")
    example = run(copy, "-m", "babylm.generate_settings_docs")
    (copy / ".env.example").write_text(example, "utf-8")
    assert "BABYLM_DUMMY=1" in example
    assert run(copy, "-m", "babylm.main", "dummy") == "dummy\n"
    run(copy, "-c", SHOWS_THE_ADDITIONS)
    pages = {name: (copy / f"docs/{name}.md").read_text() for name in ("events", "metrics", "api")}
    assert "## dummy" in pages["events"]
    assert "test/dummy" in pages["metrics"]
    assert "GET /v1/dummy" in pages["api"]
    output = run_tests(
        copy,
        "tests/docs/test_pages.py::test_a_generated_page_is_not_stale",
        "tests/core/test_stages.py",
        "tests/api/test_document.py",
        "tests/api/test_problems.py::test_each_error_has_a_status",
        "tests/api/test_problems.py::test_no_two_errors_share_a_code",
        "tests/deploy/test_env_example.py",
    )
    assert re.search(r"^[1-9]\d* passed", output, re.MULTILINE), output
