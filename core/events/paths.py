"""Messages for clients hold no absolute path of the server: only the end of a path is kept."""

import re
from collections.abc import Iterable
from pathlib import Path

KEPT_PARTS = 2
"""A file and its folder, such as `train_10M/childes.train`, say what is meant."""
ABSOLUTE = re.compile(r"(?<![\w:/.~-])/(?:[^\s/'\"`:;,()<>\[\]]+/)+[^\s/'\"`:;,()<>\[\]]*")
"""A path from the root with two parts or more; not the path of a URL, nor an "and/or"."""


def shorten_paths(text: str, *, roots: Iterable[Path] = ()) -> str:
    """The text with every absolute path cut to its last parts.

    Args:
        text: A message.
        roots: Folders that may occur in it; needed only for folders whose names hold spaces.
    """
    for root in sorted({str(root) for root in roots}, key=len, reverse=True):
        if root != "/":
            text = text.replace(f"{root}/", f"{Path(root).name}/").replace(root, Path(root).name)
    return ABSOLUTE.sub(_end, text)


def _end(match: re.Match[str]) -> str:
    parts = [part for part in match[0].split("/") if part]
    return "/".join(parts[-KEPT_PARTS:])
