"""Writes babylm/client/_sync from babylm/client/_async; a test fails if `_sync` is stale.

`python -m babylm.generate_sync` replaces words in the asyncio code and runs ruff. psycopg and
httpcore generate their synchronous clients in the same way.
"""

import re
import subprocess
import sysconfig
from pathlib import Path

FOLDER = Path(__file__).parent / "client"
NOTICE = "# Generated from babylm/client/_async by `python -m babylm.generate_sync`. Do not edit.\n"
REPLACED = (
    (r"babylm\.client\._async", "babylm.client._sync"),
    (r"from asyncio import to_thread", "from babylm.client._inline import to_thread"),
    (r"^import asyncio$", "import time"),
    (r"asyncio\.sleep", "time.sleep"),
    (r"\bfrom babylm\.client\.properties import awaitable_property\n", ""),
    (r"@awaitable_property", "@property"),
    (r"\basync def\b", "def"),
    (r"\basync (with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAwaitable\[None\]", "None"),
    (r"\bAwaitable, ", ""),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\b__a(enter|exit)__", r"__\1__"),
    (r"\b(aclose|aread|aiter_raw|aiter_lines)\b", lambda match: str(match[1])[1:]),
    (r"\basync_transport\b", "local_transport"),
    (r"\bAsync(Client|Connection|Job|Study|Checkpoints?)\b", r"\1"),
)


def synchronous(text: str, path: Path) -> str:
    """The synchronous version of an asynchronous module, formatted as the file `path`."""
    for pattern, replacement in REPLACED:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return _formatted(NOTICE + text, path)


def modules() -> dict[Path, str]:
    """The content of each file of the folder `_sync`, by its path."""
    found = {}
    for source in sorted((FOLDER / "_async").glob("*.py")):
        text = source.read_text()
        if source.name == "__init__.py":
            text = '"""The synchronous client."""\n'
        path = FOLDER / "_sync" / source.name
        found[path] = synchronous(text, path)
    return found


def _formatted(text: str, path: Path) -> str:
    for arguments in (["check", "--select", "I", "--fix", "--quiet"], ["format", "--quiet"]):
        ruff = [str(Path(sysconfig.get_path("scripts"), "ruff")), *arguments]
        ruff += ["--stdin-filename", str(path), "-"]
        done = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True)
        text = done.stdout
    return text


if __name__ == "__main__":
    for path, content in modules().items():
        path.write_text(content)
