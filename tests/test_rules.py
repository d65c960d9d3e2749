"""Rules of CONTRIBUTING that a test can check.

Tests do not patch our own code and do not depend on speed. Modules and functions are short.
"""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.waiting import DEADLINE

TESTS = Path(__file__).resolve().parent
OWN = ("api", "babylm", "benchmarks", "chaos", "core", "jobs", "migrations", "worker")
PATCHED = {
    ("core/training/test_plan.py", "probe"): "a GPU that runs out of memory at a given size",
    ("core/training/test_plan.py", "is_needed"): "the trial step of a GPU, on a CPU",
    ("core/training/test_checkpoint.py", "milestones"): "milestones within a run of a few steps",
    ("core/training/test_fast_paths.py", "of"): "padding that only bf16 on a CPU has",
    ("core/test_evaluate_and_export.py", "milestones"): "milestones within a run of a few steps",
    ("core/test_evaluate_and_export.py", "use_blocks"): "an export with other weights",
    ("core/test_evaluate_and_export.py", "check_export"): "damage between writing and checking",
    ("core/test_evaluate_and_export.py", "_check_files"): "damage between writing and checking",
    ("core/test_evaluate_and_export.py", "Evaluation"): "an interruption between two slices",
    ("core/test_evaluate_and_export.py", "advance"): "an edit between two slices",
}
"""Patches that are allowed, because no parameter can simulate the fault: the file, the name, and
what the patch simulates."""
ON_REQUEST = ("deploy", "compat")
"""Folders of tests that wait for images, clusters and installations, which take minutes."""
OTHER = ("docs", "release", "tests")
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60


@cache
def sources() -> list[tuple[str, ast.Module]]:
    return [
        (str(path.relative_to(TESTS)), ast.parse(path.read_text()))
        for path in sorted(TESTS.rglob("*.py"))
    ]


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def origin_of(tree: ast.Module) -> dict[str, str]:
    """The top-level package of each imported name."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {each.asname or each.name: node.module.split(".")[0] for each in node.names}
        elif isinstance(node, ast.Import):
            for each in node.names:
                found[each.asname or each.name.split(".")[0]] = each.name.split(".")[0]
    return found


def own_patches(tree: ast.Module) -> Iterator[str]:
    """Names of our own code, except constants, that `monkeypatch.setattr` replaces."""
    origin = origin_of(tree)
    for call in calls(tree):
        if not (isinstance(call.func, ast.Attribute) and call.func.attr == "setattr"):
            continue
        if isinstance(call.args[0], ast.Constant):
            package, *_, name = str(call.args[0].value).split(".")
        else:
            package, name = ast.unparse(call.args[0]).split(".")[0], ast.literal_eval(call.args[1])
            package = origin.get(package, package)
        if package in OWN and not name.isupper():
            yield name


def is_short(node: ast.AST) -> bool:
    is_number = isinstance(node, ast.Constant) and isinstance(node.value, int | float)
    return is_number and 1 <= node.value < DEADLINE


def reads_clock(node: ast.expr) -> bool:
    return "monotonic()" in ast.unparse(node)


def short_waits(tree: ast.Module) -> Iterator[int]:
    """Lines that wait for another operation with a fixed limit shorter than `DEADLINE`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            waits = ("wait", "join", "timeout")  # timeout: the mark of a test
            is_wait = isinstance(node.func, ast.Attribute) and node.func.attr in waits
            names = ("timeout", "seconds") if "wait" in ast.unparse(node.func) else ("timeout",)
            limits = [word.value for word in node.keywords if word.arg in names]
            limits += node.args[:1] if is_wait else []
            if any(map(is_short, limits)):
                yield node.lineno
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and reads_clock(node):
            if is_short(node.right):
                yield node.lineno
        elif isinstance(node, ast.Compare) and reads_clock(node):
            is_upper = isinstance(node.ops[0], ast.Lt | ast.LtE)
            if is_upper and isinstance(node.comparators[0], ast.Constant):
                yield node.lineno


def test_own_code_is_patched_only_for_the_listed_faults():
    found = {(file, name) for file, tree in sources() for name in own_patches(tree)}
    assert found == set(PATCHED), found ^ set(PATCHED)


def test_no_library_of_mocks_is_used():
    for file, tree in sources():
        assert "mock" not in origin_of(tree), file
        assert "unittest" not in origin_of(tree).values(), file


def test_no_test_limits_the_time_of_something_else():
    found = {
        (file, line)
        for file, tree in sources()
        if not file.startswith(ON_REQUEST)
        for line in short_waits(tree)
    }
    assert found == set()


def test_the_rules_find_what_they_forbid():
    assert list(own_patches(ast.parse("monkeypatch.setattr('jobs.store.get_job', f)"))) == [
        "get_job"
    ]
    imported = "from jobs import store\nmonkeypatch.setattr(store, 'get_job', f)"
    assert list(own_patches(ast.parse(imported))) == ["get_job"]
    assert not list(own_patches(ast.parse("monkeypatch.setattr('jobs.store.PAGE', 2)")))
    assert not list(own_patches(ast.parse("monkeypatch.setattr('torch.cuda.is_available', f)")))
    for line in (
        "process.wait(5)",
        "process.communicate(timeout=20)",
        "deadline = time.monotonic() + 10",
        "assert time.monotonic() - began < 5",
        "pytest.mark.timeout(240)",
        "service.wait(job_id, seconds=10)",
    ):
        assert list(short_waits(ast.parse(line))) == [1], line
    for line in ("process.wait(DEADLINE)", "assert time.monotonic() - began > 6", "end.wait(0.01)"):
        assert not list(short_waits(ast.parse(line))), line


def test_no_signal_handler_sets_an_event_itself():
    """A handler that takes a lock of the main thread hangs; see `core.process.signals`."""
    modules = [path for package in OWN for path in (TESTS.parent / package).rglob("*.py")]
    handlers = [line for path in modules for line in handlers_of(ast.parse(path.read_text()))]
    assert handlers
    assert not [handler for handler in handlers if ".set" in handler]


def handlers_of(tree: ast.Module) -> Iterator[str]:
    """The source of each handler that is given to `signal.signal`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "signal.signal":
            yield ast.unparse(node.args[1])


def test_modules_and_functions_are_short():
    root = TESTS.parent
    modules = [path for package in (*OWN, *OTHER) for path in (root / package).rglob("*.py")]
    assert modules
    for path in modules:
        text = path.read_text()
        assert len(text.splitlines()) <= MAX_MODULE_LINES, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                assert lines <= MAX_FUNCTION_LINES, f"{path}: {node.name}"


def test_the_repository_holds_no_symbolic_link():
    """A link to a build folder is broken in every other checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "--stage"], cwd=TESTS.parent, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [line.split("\t")[1] for line in listed if line.startswith("120000")] == []
