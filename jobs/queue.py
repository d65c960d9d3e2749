"""The Celery app and its two queues. A message is a wake-up call: look for work. It names no job.

Any message may be lost, doubled or late without harm, because the rows say what is to be done. So
there is no result backend, no late acknowledgement, no retry and no time limit of Celery's: the
life of a job belongs to its row.
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
LOOK_SECONDS = 1.0
"""The sweep asks for the length of the queue between two looks for lost jobs: a frozen broker may
not hold that up."""
BROKER_ERRORS = (redis.RedisError, CeleryOperationalError, KombuOperationalError, OSError)
"""What a broker that is away, frozen or restarting looks like."""


class _Loader(AppLoader):  # type: ignore[misc]
    """Celery's own loader puts the working folder first on the import path while it imports."""

    def import_from_cwd(
        self, module: str, imp: Callable[..., ModuleType] | None = None, package: str | None = None
    ) -> ModuleType:
        """Imports a module, not from the working folder."""
        return (imp or importlib.import_module)(module, package=package)


def make_app(broker_url: str) -> Celery:
    """The Celery app on a broker."""
    # No fixups: the one for Django imports from the working folder if the user's environment has
    # DJANGO_SETTINGS_MODULE.
    app = Celery("babylm", broker=broker_url, set_as_current=False, loader=_Loader, fixups=())
    app.conf.update(
        task_ignore_result=True,
        # Early: a late one is delivered again after the visibility timeout, while the job runs.
        task_acks_late=False,
        task_track_started=False,
        # Threads: a pool process is a daemon and may not have children; a task only waits anyway.
        worker_pool="threads",
        # Nothing may wait inside a busy worker: what waits there is delivered again after an hour.
        worker_disable_prefetch=True,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # None: for ever; the default gives up after 100
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
    """Rings the workers of a queue. Called from threads that may wait, never from a request."""

    def __init__(self, broker_url: str) -> None:
        self._app = make_app(broker_url)
        self._redis = connect(broker_url, seconds=LOOK_SECONDS)

    def notify(self, queue: QueueName, times: int) -> bool:
        """Makes sure that up to `times` calls wait in the queue; False if the broker is away."""
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
        """Lets go of all connections."""
        self._redis.close()
        self._app.close()


def connect(broker_url: str, *, seconds: float = SOCKET_SECONDS) -> "redis.Redis":
    """A client of the broker with short time-outs, each call tried once: the callers look again.

    The library's own three further tries, with pauses, would make seconds of a quarter of one.
    `redis+socket:///path`, as Celery writes a Unix socket, is `unix:///path` to the client.
    """
    url = broker_url.replace("redis+socket://", "unix://", 1)
    return redis.Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=min(seconds, CONNECT_SECONDS),
        retry=Retry(NoBackoff(), 0),
    )
