"""The Celery app and its two queues. A message only makes a worker look for work.

A message names no job. It does no harm if a message is lost, duplicated or late, because the rows
of the database contain the work. So the service does not use Celery's results, late
acknowledgement, retries or time limits.
"""

import importlib
import logging
from collections.abc import Callable
from types import ModuleType
from typing import Literal

import redis
from celery import Celery
from celery.exceptions import OperationalError as CeleryOperationalError
from celery.loaders.app import AppLoader
from kombu.exceptions import OperationalError as KombuOperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)

QueueName = Literal["train", "short"]
QUEUES: tuple[QueueName, ...] = ("train", "short")
TASKS: dict[QueueName, str] = {"train": "babylm.train", "short": "babylm.short"}

SOCKET_SECONDS = 5.0
CONNECT_SECONDS = 3.0
QUEUE_LENGTH_SECONDS = 1.0
"""Maximum seconds to read the length of a queue. The sweep, which searches for lost jobs
(`jobs.recovery`), reads it, and a frozen broker must not delay this search."""
BROKER_ERRORS = (redis.RedisError, CeleryOperationalError, KombuOperationalError, OSError)
"""Errors of a broker that is unavailable, frozen or restarting."""


class _Loader(AppLoader):  # type: ignore[misc]
    """Celery's loader, except that it does not add the working directory to the import path."""

    def import_from_cwd(
        self, module: str, imp: Callable[..., ModuleType] | None = None, package: str | None = None
    ) -> ModuleType:
        """Imports a module without adding the working directory to the path."""
        return (imp or importlib.import_module)(module, package=package)


def make_app(broker_url: str) -> Celery:
    """Creates the Celery app of a broker."""
    # No fixups: the fixup for Django imports from the working directory if DJANGO_SETTINGS_MODULE
    # is set.
    app = Celery("babylm", broker=broker_url, set_as_current=False, loader=_Loader, fixups=())
    app.conf.update(
        task_ignore_result=True,
        # With a late acknowledgement, Redis would deliver the message again after the visibility
        # timeout, while the job still runs.
        task_acks_late=False,
        task_track_started=False,
        # Processes of a prefork pool are daemonic and cannot have children. Threads are enough,
        # because tasks only wait for other processes.
        worker_pool="threads",
        # If a busy worker prefetched a message, Redis would deliver it again after an hour.
        worker_disable_prefetch=True,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # no limit; the default is 100
        broker_transport_options={
            "visibility_timeout": 3600,
            "socket_timeout": SOCKET_SECONDS,
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_keepalive": True,
            "retry_on_timeout": True,
            "health_check_interval": 25,
        },
        task_publish_retry_policy={
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.5,
        },
        task_serializer="json",
        accept_content=["json"],  # never pickle
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
        task_default_queue="train",
    )
    return app


class QueueNotifier:
    """Notifies the workers of a queue. `notify` may block; do not call it in a request."""

    def __init__(self, broker_url: str) -> None:
        self._app = make_app(broker_url)
        self._redis = connect(broker_url, seconds=QUEUE_LENGTH_SECONDS)

    def notify(self, queue: QueueName, times: int) -> bool:
        """Adds messages until the queue has `times` of them; False if the broker is unavailable."""
        try:
            waiting = int(self._redis.llen(queue))
            for _ in range(times - waiting):
                self._app.send_task(TASKS[queue], queue=queue)
        except BROKER_ERRORS as error:
            log.debug("the broker does not answer: %s", error)
            return False
        return True

    def ping(self) -> bool:
        """True if the broker answers."""
        try:
            return bool(self._redis.ping())
        except BROKER_ERRORS:
            return False

    def close(self) -> None:
        """Closes all connections."""
        self._redis.close()
        self._app.close()


def connect(broker_url: str, *, seconds: float = SOCKET_SECONDS) -> "redis.Redis":
    """A client of the broker with short timeouts and without retries, because callers poll.

    With the library's default of three retries, a timeout of 0.25 s would become several seconds.
    `redis+socket:///path`, Celery's form of a Unix socket, is `unix:///path` for the client.
    """
    url = broker_url.replace("redis+socket://", "unix://", 1)
    return redis.Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=min(seconds, CONNECT_SECONDS),
        retry=Retry(NoBackoff(), 0),
    )
