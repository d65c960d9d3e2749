"""The Unix socket that the API can listen on instead of a TCP port."""

import os
import socket
import stat
from pathlib import Path

MAX_PATH_BYTES = 107 if os.uname().sysname == "Linux" else 103
"""Maximum length of the path of a socket in bytes. `sockaddr_un.sun_path` has 108 bytes on Linux
(unix(7)) and 104 bytes on macOS, including the final zero byte."""


class SocketUnavailable(Exception):
    """The API cannot listen on the socket; the message says why and what to do."""


def check_socket(path: Path) -> None:
    """Refuses a path on which the API could not listen.

    Raises:
        SocketUnavailable: If the path is too long, if another program listens on it, or if it is
            the path of a file that is not a socket.
    """
    length = len(os.fsencode(path))
    if length > MAX_PATH_BYTES:
        raise SocketUnavailable(
            f"BABYLM_SOCKET is {path}, {length} bytes long, and the path of a socket has at most "
            f"{MAX_PATH_BYTES}. Choose a shorter one, such as /run/user/{os.getuid()}/babylm.sock."
        )
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise SocketUnavailable(f"BABYLM_SOCKET is {path}: {error.strerror}.") from error
    if not stat.S_ISSOCK(mode):
        raise SocketUnavailable(
            f"BABYLM_SOCKET is {path}, which exists and is not a socket. Choose another path."
        )
    if _accepts(path):
        raise SocketUnavailable(
            f"BABYLM_SOCKET is {path}, on which another program listens. Stop it, or choose "
            "another path."
        )


def bind_socket(path: Path) -> socket.socket:
    """A socket to which only this user can connect; replaces a socket file that no program uses.

    uvicorn's own option `uds` is not used, because it makes the socket accessible to every account.

    Raises:
        SocketUnavailable: If the API cannot listen there.
    """
    check_socket(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o077)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise SocketUnavailable(f"BABYLM_SOCKET is {path}: {error.strerror or error}.") from error
    finally:
        os.umask(umask)
    return listener


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(str(path)) == 0
