"""The documents build as a site that loads nothing from other hosts."""

import os
import re
import shutil
import subprocess
import tomllib
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import pytest

from core.process.program import python_command

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def nav_pages(entry) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    values = entry.values() if isinstance(entry, dict) else entry
    return [page for value in values for page in nav_pages(value)]


def anchors(page: Path) -> set[str]:
    """Ids of the headings, as Python-Markdown makes them."""
    found = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", title).strip().lower() for title in found]
    return {re.sub(r"[-\s]+", "-", title) for title in plain}


def links(page: Path) -> list[str]:
    text = FENCE.sub("", page.read_text("utf-8"))
    text = re.sub(r"`[^`\n]*`", "", text)
    return [first or second for first, second in LINK.findall(text)]


def test_the_navigation_has_every_page_once():
    project = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]
    assert sorted(nav_pages(project["nav"])) == PAGES


@pytest.mark.parametrize("name", PAGES)
def test_links_of_a_page_lead_to_files_and_headings_of_the_site(name):
    page = DOCS / name
    for link in links(page):
        if link.startswith(("https:", "http:", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), link
        assert target.is_relative_to(DOCS), f"{link} is not part of the site"
        if anchor:
            assert anchor in anchors(target), link


class _Loads(HTMLParser):
    """Addresses that a browser fetches when it opens the page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        values = dict(attrs)
        is_loaded = tag in ("script", "img", "iframe", "source", "video", "audio")
        if is_loaded and values.get("src"):
            self.found.append(values["src"])
        if tag == "link" and values.get("href") and values.get("rel") not in ("canonical",):
            self.found.append(values["href"])


@pytest.mark.skipif(find_spec("zensical") is None, reason="zensical is not installed: make site")
def test_the_site_builds_in_strict_mode_and_loads_nothing_from_other_hosts(tmp_path):
    shutil.copyfile(ROOT / "zensical.toml", tmp_path / "zensical.toml")
    shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        python_command("zensical", "build", "--strict"),
        cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= len(PAGES)
    for page in pages:
        parser = _Loads()
        parser.feed(page.read_text("utf-8"))
        assert parser.found, page.name
        assert [each for each in parser.found if re.match(r"(https?:)?//", each)] == []
    styles = [path.read_text("utf-8") for path in (tmp_path / "site").rglob("*.css")]
    assert styles
    assert not any(re.search(r"url\(['\"]?(https?:)?//", style) for style in styles)
