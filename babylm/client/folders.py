"""Checks of folders that a user names."""

import os
from pathlib import Path


def file_in_path(folder: Path) -> Path | None:
    """The part of the path that exists and is not a folder, such as `a.txt` in `a.txt/b`; or None.

    No folder can be created at such a path.
    """
    for path in (folder, *folder.parents):
        if os.path.lexists(path):
            return None if path.is_dir() else path
    return None
