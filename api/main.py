"""The entry point of the API: `babylm api`, or `uvicorn --factory api.main:app`."""

import gc
import logging
import re
import sys
from collections.abc import Sequence

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.protocol import bounded_protocol, connection_limit, raise_file_limit
from api.quiet import QuietFilter
from api.security import is_loopback
from api.server import ApiServer
from api.unix_socket import SocketUnavailable, bind_socket
from jobs.database import Database
from jobs.errors import JobsError
from jobs.file_modes import apply_umask
from jobs.settings import Settings

log = logging.getLogger(__name__)

BAD_USAGE = 2
STARTUP_FAILURE = 3
"""Exit status if the server cannot start, for example because its port is in use; as in uvicorn."""
SWITCH_SECONDS = 0.001
"""Seconds after which a thread releases the interpreter lock if the event loop waits for the lock.
With Python's default of 5 ms, each of several threads in turn could delay the event loop by 5 ms,
and `/healthz` would be slow."""
NEW_OBJECTS = 20_000
"""Number of new objects that start a garbage collection. A request creates a few thousand objects,
and nearly all of them are freed without a collection. With Python's default of 700, collections
took a tenth of the event loop's time."""
SHUTDOWN_SECONDS = 5
"""Seconds after which downloads that are not complete are closed at a shutdown."""
MIN_KEY_LENGTH = 16
VISIBLE_ASCII = re.compile(r"[!-~]+")
KEY_HINT = (
    "Set BABYLM_API_KEY to a long random text, for example the output of `openssl rand -hex 32`"
)


def app() -> FastAPI:
    """The app with the settings of the environment, for `uvicorn --factory api.main:app`.

    With this command the number of connections has no limit: only `babylm api` can choose the
    protocol class of uvicorn that limits it.

    Raises:
        SystemExit: If the settings would open the API to the network or have an invalid key.
    """
    settings = Settings()
    apply_umask(settings)
    refuse_settings(settings)
    raise_file_limit()
    return create_app(settings)


def run() -> None:
    """Serves until SIGTERM or SIGINT."""
    set_up_log()
    settings = Settings()
    apply_umask(settings)
    refuse_settings(settings)
    try:
        Database(settings.database_url).check_schema()
        listener = bind_socket(settings.socket) if settings.socket else None
    except JobsError as error:
        sys.exit(error.message)
    except SocketUnavailable as error:
        sys.exit(str(error))
    sys.setswitchinterval(SWITCH_SECONDS)
    served = create_app(settings)
    # The modules and the app are never freed. Without the freeze, every full garbage collection
    # would examine them again: every few seconds it would stop all threads for 0.15 s.
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS)
    config = uvicorn.Config(
        served,
        host=settings.host,
        port=settings.port,
        fd=listener.fileno() if listener else None,
        http=bounded_protocol(connection_limit(raise_file_limit())),
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        access_log=False,
        server_header=False,
        log_config=None,
    )
    server = ApiServer(config, served.state.context.watchers)
    try:
        server.run()
    except KeyboardInterrupt:
        pass
    finally:
        if settings.socket:
            settings.socket.unlink(missing_ok=True)
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def set_up_log() -> None:
    """Logs to standard error, and limits the repetition of messages."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    quiet = QuietFilter()
    for handler in logging.getLogger().handlers:
        handler.addFilter(quiet)


def refuse_settings(settings: Settings) -> None:
    """Ends the program if its settings are insecure.

    Raises:
        SystemExit: With status 2 and the reason on standard error.
    """
    reason = network_fault(settings) or key_fault(settings.api_keys)
    if reason is not None:
        sys.stderr.write(f"{reason}\n")
        sys.exit(BAD_USAGE)


def network_fault(settings: Settings) -> str | None:
    """The reason why the address needs a key; None if it needs no key or a key is set."""
    if settings.api_keys or settings.socket or is_loopback(settings.host):
        return None
    return (
        f"BABYLM_HOST is {settings.host}: anybody who can reach that address could train, read and "
        f"delete. {KEY_HINT}, or listen on 127.0.0.1."
    )


def key_fault(keys: Sequence[str]) -> str | None:
    """The reason why a key is invalid, without the key itself; None if all keys are valid."""
    for number, key in enumerate(keys, start=1):
        which = "The key" if len(keys) == 1 else f"Key {number} of {len(keys)}"
        if not VISIBLE_ASCII.fullmatch(key):
            return (
                f"{which} in BABYLM_API_KEY has a space, a control character or a character "
                f"outside of ASCII. A key in an HTTP header cannot contain these. {KEY_HINT}."
            )
        if len(key) < MIN_KEY_LENGTH:
            return (
                f"{which} in BABYLM_API_KEY has {len(key)} characters and can be guessed; use at "
                f"least {MIN_KEY_LENGTH}. {KEY_HINT}."
            )
    return None
