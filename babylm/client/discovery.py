"""Finds the service by environment variables, or by the file that `babylm serve` writes.

The key of the environment belongs to the service that the environment names. A client sends it to
no other address.
"""

import json
import os
from pathlib import Path

from babylm.client.address import is_same_address

SERVICE_FILE = "service.json"
"""File in the runs folder with the address of a running `babylm serve`."""
DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", "8000"


def find_service() -> str:
    """The address of the service.

    The first of these that exists: the address in `BABYLM_URL`, the address of the service that
    runs in the folder `BABYLM_RUNS_DIR`, the socket `BABYLM_SOCKET`, the address of `BABYLM_HOST`
    and `BABYLM_PORT`. `babylm.options` applies the same order to the settings, which also come
    from `.env`.
    """
    url = os.environ.get("BABYLM_URL")
    runs_dir = Path(os.environ.get("BABYLM_RUNS_DIR") or "runs")
    return url or running_service(runs_dir) or _listening_address()


def _listening_address() -> str:
    """The address at which the API listens according to the environment."""
    socket = os.environ.get("BABYLM_SOCKET")
    if socket:
        return socket_address(socket)
    host = os.environ.get("BABYLM_HOST") or DEFAULT_HOST
    return address_of(host, os.environ.get("BABYLM_PORT") or DEFAULT_PORT)


def socket_address(path: str | Path) -> str:
    """The address of a server that listens on the Unix socket `path`."""
    return f"unix:{Path(path).absolute()}"


def address_of(host: str, port: int | str) -> str:
    """The URL at which this machine reaches a server that listens on `host` and `port`."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def find_key() -> str | None:
    """The first key in `BABYLM_API_KEY`; None if there is none."""
    first = os.environ.get("BABYLM_API_KEY", "").partition(",")[0].strip()
    return first or None


def key_for(url: str, key: str | None, *, service: str) -> str | None:
    """`key` if the address `url` is the address of `service`, to which the key belongs; else None.

    A key must not reach another host, whose operator could use it.
    """
    return key if key and is_same_address(url, service) else None


def running_service(runs_dir: Path) -> str | None:
    """The address of the `babylm serve` of this runs folder; None if its process has ended."""
    try:
        entry = json.loads((runs_dir / SERVICE_FILE).read_text())
        os.kill(int(entry["pid"]), 0)
        return str(entry["url"])
    except PermissionError:
        return str(entry["url"])  # the process is alive and belongs to another user
    except (OSError, ValueError, KeyError, TypeError):
        return None
