"""The tutorials are true: each is followed on a copy of the project."""

import re

import pytest

from core.archs import ARCHITECTURES
from core.archs.base import Architecture
from tests.docs.test_language import ROOT
from tests.docs.walk import apply, copy_project, lint, run, run_tests


@pytest.mark.long
@pytest.mark.timeout(600)
def test_qwen3_is_added_as_the_page_says(tmp_path):
    """Runs tests of the changed copy, which fail if the page omits a file that must change."""
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


def test_the_page_about_an_architecture_has_the_words_of_the_code():
    page = (ROOT / "docs/tutorials/add-an-architecture.md").read_text("utf-8")
    description = ARCHITECTURES["gemma2"].model_fields["head_dim"].description
    assert f'description="{description}"' in page
    assert f'"""{Architecture.layer_matrices.__doc__}"""' in page


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


@pytest.mark.long
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
