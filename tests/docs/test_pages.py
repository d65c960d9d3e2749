"""Generated pages match the code."""

import importlib.util
import re
from pathlib import Path

import pytest

import babylm.client

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


def test_the_page_of_the_client_describes_every_public_class_and_argument():
    page = (DOCS / "client.md").read_text()
    assert [name for name in babylm.client.__all__ if not re.search(rf"\b{name}\b", page)] == []
    empty, missing = [], []
    for section in re.split(r"\n### ", page.split("## Errors")[0])[1:]:
        title, _, rest = section.partition("\n")
        code, text = re.search(r"```python\n(.*?)```(.*)", rest, re.DOTALL).groups()
        given = re.search(r"\((.*)\)", code, re.DOTALL)[1]
        names = re.findall(r"(?:^|[(,*]\s*)([a-z]\w*)(?=: )", given)
        missing += [f"{title}: {name}" for name in names if f"- `{name}`: " not in text]
        empty += [title] if not text.strip() else []
    assert (empty, missing) == ([], [])
