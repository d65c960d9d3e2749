"""Generated pages match the code."""

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def _generator():
    found = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", _generator().PAGES)
def test_a_generated_page_is_not_stale(name):
    page = _generator().PAGES[name]()
    assert (DOCS / name).read_text() == page, "run `make docs`"


def test_every_file_that_the_documents_outside_of_the_site_link_to_exists():
    pages = [*DOCS.parent.glob("*.md"), DOCS.parent / "benchmarks/README.md"]
    broken = [
        f"{page.name}: {link}"
        for page in pages
        for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
        if not (page.parent / link).exists()
    ]
    assert broken == []


def test_every_test_that_the_page_on_reliability_names_exists():
    text = (DOCS / "reliability.md").read_text()
    code = "\n".join(path.read_text() for path in (DOCS.parent / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", text)
    assert len(named) > 10
    assert [name for name in named if f"def {name}(" not in code] == []
    paths = re.findall(r"`(tests/[\w/.]+)`", text)
    assert [path for path in paths if not (DOCS.parent / path).exists()] == []
