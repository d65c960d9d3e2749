"""Hard links to immutable files. A linked file stays readable after its original is removed."""

import os
import shutil
from pathlib import Path

from core.storage.rundir import publish_folder


def link_or_copy(source: Path, target: Path) -> None:
    """Creates a hard link, or a copy if the file system does not support hard links.

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
    """Publishes `final`, a folder of links to all files of `source`, unless `final` already exists.

    Raises:
        FileNotFoundError: If `source` or one of its files does not exist.
    """
    if final.is_dir():
        return

    def build(folder: Path) -> None:
        for path in sorted(source.iterdir()):
            link_or_copy(path, folder / path.name)

    publish_folder(final, build)
