"""The entry of the API: `babylm api`, or `uvicorn --factory api.main:app`."""

import logging
import sys

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.security import is_loopback
from api.unix_socket import SocketUnavailable, bind_socket
from jobs.database import Database
from jobs.errors import JobsError
from jobs.file_modes import apply_umask
from jobs.settings import Settings

log = logging.getLogger(__name__)

BAD_USAGE = 2
SWITCH_SECONDS = 0.001
"""How long a thread may keep the interpreter lock that the event loop waits for; Python's default
of 5 ms for each of several threads would make `/healthz` slow."""
SHUTDOWN_SECONDS = 5
"""Open event streams and stalled downloads would hold up the end for ever."""


def app() -> FastAPI:
    """The app on the settings of the environment.

    Raises:
        SystemExit: If it would be open to the network without a key.
    """
    settings = Settings()
    apply_umask(settings)
    refuse_open_network(settings)
    return create_app(settings)


def run() -> None:
    """Serves until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = Settings()
    apply_umask(settings)
    refuse_open_network(settings)
    try:
        Database(settings.database_url).check_schema()
        listener = bind_socket(settings.socket) if settings.socket else None
    except JobsError as error:
        sys.exit(error.message)
    except SocketUnavailable as error:
        sys.exit(str(error))
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        uvicorn.run(
            create_app(settings),
            host=settings.host,
            port=settings.port,
            fd=listener.fileno() if listener else None,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            access_log=False,
            server_header=False,
            log_config=None,
        )
    finally:
        if settings.socket:
            settings.socket.unlink(missing_ok=True)


def refuse_open_network(settings: Settings) -> None:
    """Ends the program if anybody on the network could submit jobs.

    Raises:
        SystemExit: With status 2 and the reason on standard error.
    """
    if settings.api_keys or settings.socket or is_loopback(settings.host):
        return
    sys.stderr.write(
        f"BABYLM_HOST is {settings.host}: anybody who can reach that address could train, read and "
        "delete. Set BABYLM_API_KEY to a long random text (for example the output of `openssl rand "
        "-hex 32`), or listen on 127.0.0.1.\n"
    )
    sys.exit(BAD_USAGE)
