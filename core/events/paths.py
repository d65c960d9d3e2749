"""Shortens absolute paths in messages, so that clients do not see the server's folders."""

import re
from collections.abc import Iterable
from pathlib import Path

KEPT_PARTS = 2
"""Number of parts that a shortened path keeps: folder and file, as in `train_10M/childes.train`."""
ABSOLUTE = re.compile(r"(?<![\w:/.~-])/(?:[^\s/'\"`:;,()<>\[\]]+/)+[^\s/'\"`:;,()<>\[\]]*")
"""Matches an absolute path with at least two parts; does not match paths in URLs, or "and/or"."""


def shorten_paths(text: str, *, roots: Iterable[Path] = ()) -> str:
    """The text, with every absolute path cut to its last `KEPT_PARTS` parts.

    Args:
        text: A message.
        roots: Folders that may occur in the message. They are needed only if their names have
            spaces.
    """
    for root in sorted({str(root) for root in roots}, key=len, reverse=True):
        if root != "/":
            text = text.replace(f"{root}/", f"{Path(root).name}/").replace(root, Path(root).name)
    return ABSOLUTE.sub(_end, text)


def _end(match: re.Match[str]) -> str:
    parts = [part for part in match[0].split("/") if part]
    return "/".join(parts[-KEPT_PARTS:])
