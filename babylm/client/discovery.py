"""Finds the service of this machine: environment, or the `babylm serve` of a runs folder."""

import json
import os
from pathlib import Path

SERVICE_FILE = "service.json"
"""Below the runs folder: the address of a running `babylm serve`."""
DEFAULT_URL = "http://127.0.0.1:8000"


def find_service() -> str:
    """`BABYLM_URL`, or else a running service in `BABYLM_RUNS_DIR`, or else the default port."""
    url = os.environ.get("BABYLM_URL")
    runs_dir = Path(os.environ.get("BABYLM_RUNS_DIR") or "runs")
    return url or running_service(runs_dir) or DEFAULT_URL


def find_key() -> str | None:
    """The first key of `BABYLM_API_KEY`."""
    first = os.environ.get("BABYLM_API_KEY", "").partition(",")[0].strip()
    return first or None


def running_service(runs_dir: Path) -> str | None:
    """The address of the `babylm serve` on this runs folder, if its process is alive."""
    try:
        entry = json.loads((runs_dir / SERVICE_FILE).read_text())
        os.kill(int(entry["pid"]), 0)
        return str(entry["url"])
    except PermissionError:
        return str(entry["url"])  # alive, and of another user
    except (OSError, ValueError, KeyError, TypeError):
        return None
