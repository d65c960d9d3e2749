"""Hard links to immutable files, which stay readable when the original folder is removed."""

import os
import shutil
from pathlib import Path

from core.storage.rundir import publish_folder


def link_or_copy(source: Path, target: Path) -> None:
    """Creates a hard link, or a copy if the file system does not support them.

    Raises:
        FileNotFoundError: If the source does not exist.
    """
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def link_folder(source: Path, final: Path) -> None:
    """Publishes `final` with links to all files of a folder; does nothing if it already exists.

    Raises:
        FileNotFoundError: If the folder, or one of its files, was removed in the meantime.
    """
    if final.is_dir():
        return

    def build(folder: Path) -> None:
        for path in sorted(source.iterdir()):
            link_or_copy(path, folder / path.name)

    publish_folder(final, build)
