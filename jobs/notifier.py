"""Wake-up calls for those who watch a job: an empty message on the channel `job:<id>`.

It means "look again". Whoever misses it looks again anyway a little later, so no failure of the
broker gets out of here.
"""

import logging
import threading
import time
from collections.abc import Callable

from jobs.queue import BROKER_ERRORS, connect

log = logging.getLogger(__name__)

CHANNEL = "job:"
RETRY_SECONDS = 2.0
PUBLISH_SECONDS = 0.25
"""A supervisor rings between two looks at its training process: a frozen broker may cost it no
more than this."""
SILENT_SECONDS = 5.0
"""How long a broker that did not answer is left alone."""


class JobNotifier:
    """Rings for a job; does nothing where no broker is."""

    def __init__(self, broker_url: str | None) -> None:
        self._redis = connect(broker_url, seconds=PUBLISH_SECONDS) if broker_url else None
        self._silent_until = 0.0

    def notify(self, job_id: str) -> None:
        """Tells the watchers of the job to look again; never fails, and hardly waits."""
        if self._redis is None or time.monotonic() < self._silent_until:
            return
        try:
            self._redis.publish(CHANNEL + job_id, b"")
        except BROKER_ERRORS as error:
            # The caller supervises a training process: it must not wait at every tick.
            self._silent_until = time.monotonic() + SILENT_SECONDS
            log.debug("the broker does not answer: %s", error)

    def close(self) -> None:
        """Lets go of the connection."""
        if self._redis is not None:
            self._redis.close()


class Listener(threading.Thread):
    """Calls back with the id of each job whose bell rings, until it is stopped."""

    def __init__(self, broker_url: str, on_message: Callable[[str], None]) -> None:
        super().__init__(name="doorbell", daemon=True)
        self._url = broker_url
        self._on_message = on_message
        self._stopped = threading.Event()

    def run(self) -> None:
        """Listens, and listens again after the broker was away."""
        while not self._stopped.is_set():
            try:
                self._listen()
            except BROKER_ERRORS as error:
                log.debug("the broker does not answer: %s", error)
                self._stopped.wait(RETRY_SECONDS)

    def stop(self) -> None:
        """Ends the thread within a second."""
        self._stopped.set()

    def _listen(self) -> None:
        client = connect(self._url)
        try:
            subscription = client.pubsub(ignore_subscribe_messages=True)
            subscription.psubscribe(CHANNEL + "*")
            while not self._stopped.is_set():
                message = subscription.get_message(timeout=0.5)
                if message is not None:
                    self._on_message(message["channel"].decode().removeprefix(CHANNEL))
        finally:
            client.close()
