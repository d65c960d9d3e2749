"""Comments, docstrings and documents stay free of old-fashioned patterns.

    python -m tests.docs.test_language

prints the number of occurrences per 10,000 words. The limit may only be lowered.
"""

import io
import re
import subprocess
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("core", "jobs", "worker", "api", "babylm", "migrations", "chaos", "benchmarks", "docs")
PATTERNS = (
    r"told",
    r"goes on|go on|went on",
    r"anew",
    r"whoever|whatever somebody",
    r"stands?",
    r"lies|lie",
    r"beside",
    r"behind",
    r"where there is",
    r"so many",
    r"dear",
    r"nobody|somebody",
)
GENERATED = "This page is written by"
"""Text of the generated pages, which repeat descriptions of the code."""
LIMIT = 1.0
"""Maximum number of occurrences per 10,000 words."""


def prose_of_code(path: Path) -> str:
    """Comments and docstrings."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline)
    return "\n".join(
        token.string
        for token in tokens
        if token.type == tokenize.COMMENT
        or (token.type == tokenize.STRING and token.string.startswith(('"""', 'r"""')))
    )


def tracked_documents() -> list[Path]:
    """The Markdown files of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split()]


def all_prose() -> str:
    tracked = subprocess.run(
        ["git", "ls-files", "*.py", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    texts = []
    for name in tracked:
        if name.endswith(".md"):
            texts.append((ROOT / name).read_text("utf-8"))
        elif name.startswith(FOLDERS):
            texts.append(prose_of_code(ROOT / name))
    return "\n".join(texts)


def rate(text: str) -> float:
    """Number of occurrences of the patterns per 10,000 words."""
    words = len(text.split())
    found = sum(len(re.findall(rf"\b(?:{each})\b", text, re.IGNORECASE)) for each in PATTERNS)
    return 10_000 * found / words


def test_the_prose_is_plain():
    assert rate(all_prose()) <= LIMIT


def test_handwritten_documents_have_none_of_the_patterns():
    """Leaves out generated pages: they repeat text of the code, which the test above covers."""
    texts = {path.relative_to(ROOT): path.read_text("utf-8") for path in tracked_documents()}
    generated = {path for path, text in texts.items() if GENERATED in text}
    assert {Path("docs/api.md"), Path("docs/client.md")} <= generated
    found = [
        f"{path}: {line}"
        for path, text in texts.items()
        if path not in generated
        for line in text.splitlines()
        if line.strip() and rate(line)
    ]
    assert found == []


if __name__ == "__main__":
    print(f"{rate(all_prose()):.1f} for 10,000 words")  # noqa: T201
