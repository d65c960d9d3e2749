"""The tutorials are true: each is followed on a copy of the project."""

import re

import pytest

from tests.docs.walk import apply, copy_project, lint, run, run_tests


@pytest.mark.timeout(600)
def test_qwen3_is_added_as_the_page_says(tmp_path):
    """Slow, because it runs tests of the changed copy. They show that the page names all files."""
    copy = copy_project(tmp_path / "copy")
    touched = apply("tutorials/add-an-architecture.md", copy)
    assert touched == {
        "core/archs/qwen3.py",
        "core/archs/__init__.py",
        "tests/core/training/test_qwen3.py",
        "tests/compat/cases.py",
    }
    lint(copy, touched)
    run(copy, "docs/generate.py")
    assert "### qwen3" in (copy / "docs/spec.md").read_text()
    output = run_tests(
        copy,
        "tests/core/training/test_qwen3.py",
        "tests/core/training/test_model.py::test_the_parameter_count_is_that_of_the_built_model",
        "tests/compat/test_compat.py::"
        "test_every_field_has_a_case_at_another_value_than_its_default",
        "tests/core/spec/test_job.py",
        "tests/docs/test_pages.py::test_a_generated_page_is_not_stale",
    )
    assert re.search(r"^\d+ passed", output, re.MULTILINE), output


@pytest.mark.timeout(600)
def test_a_corpus_source_is_added_as_the_page_says(tmp_path):
    copy = copy_project(tmp_path / "copy")
    touched = apply("tutorials/add-a-corpus-source.md", copy)
    assert {name for name in touched if not name.startswith("tests/")} == {
        "core/corpus/cleaners/podcasts.py",
        "core/corpus/cleaners/__init__.py",
    }
    lint(copy, touched)
    output = run_tests(
        copy, "tests/core/corpus/test_cleaners.py", "-k", "podcasts or every_cleaner or its_stem"
    )
    assert re.search(r"^[1-9]\d* passed", output, re.MULTILINE), output


@pytest.mark.timeout(600)
def test_an_optimizer_is_added_as_the_page_says(tmp_path):
    copy = copy_project(tmp_path / "copy")
    touched = apply("tutorials/add-an-optimizer.md", copy)
    assert {name for name in touched if not name.startswith("tests/")} == {
        "core/spec/optimizers/lion.py",
        "core/spec/optimizers/__init__.py",
        "core/training/optimizers/lion_update.py",
        "core/training/optimizers/builders.py",
    }
    lint(copy, touched)
    output = run_tests(
        copy,
        "tests/core/training/test_lion.py",
        "tests/core/training/test_optimizers.py",
        "-k",
        "lion",
    )
    assert re.search(r"^[1-9]\d* passed", output, re.MULTILINE), output
