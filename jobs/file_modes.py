"""Sets the umask of the service, and finds existing folders that other accounts may enter."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from jobs.settings import Settings


def apply_umask(settings: Settings) -> None:
    """Sets the umask of this process and of all processes that it starts."""
    os.umask(int(settings.umask, 8))


def folders_open_to_others(settings: Settings) -> list[Path]:
    """Those of the folders `runs_dir` and `data_dir` with permissions that the umask forbids."""
    mask = int(settings.umask, 8)
    return [
        path for path in _existing((settings.runs_dir, settings.data_dir)) if _mode(path) & mask
    ]


def _existing(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if path.is_dir()]


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
