"""Notifications for the watchers of a job: an empty message on the channel `job:<id>`.

A message means "read the rows again". Watchers also poll, so a lost message only causes a delay.
Callers therefore get no error if the broker fails.
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
"""Maximum seconds that a publish takes. A supervisor publishes between two heartbeats to its
training process, and a frozen broker must not delay these heartbeats."""
SILENT_SECONDS = 5.0
"""Seconds for which nothing is published after a publish that the broker did not answer."""


class JobNotifier:
    """Publishes notifications about jobs; does nothing without a broker."""

    def __init__(
        self, broker_url: str | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._redis = connect(broker_url, seconds=PUBLISH_SECONDS) if broker_url else None
        self._silent_until = float("-inf")

    def notify(self, job_id: str) -> None:
        """Notifies the watchers of the job. Never fails, and waits at most `PUBLISH_SECONDS`."""
        if self._redis is None or self._clock() < self._silent_until:
            return
        try:
            self._redis.publish(CHANNEL + job_id, b"")
        except BROKER_ERRORS as error:
            # The caller supervises a training process, so it must not wait at each notification.
            self._silent_until = self._clock() + SILENT_SECONDS
            log.debug("the broker does not answer: %s", error)

    def close(self) -> None:
        """Closes the connection."""
        if self._redis is not None:
            self._redis.close()


class Listener(threading.Thread):
    """Calls `on_message` with the job id of each notification, until it is stopped."""

    def __init__(self, broker_url: str, on_message: Callable[[str], None]) -> None:
        super().__init__(name="job-listener", daemon=True)
        self._url = broker_url
        self._on_message = on_message
        self._stopped = threading.Event()

    def run(self) -> None:
        """Listens; reconnects after the broker was unavailable."""
        while not self._stopped.is_set():
            try:
                self._listen()
            except BROKER_ERRORS as error:
                log.debug("the broker does not answer: %s", error)
                self._stopped.wait(RETRY_SECONDS)

    def stop(self) -> None:
        """Asks the thread to end; it ends within a second if the broker answers."""
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
