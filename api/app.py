"""Builds the app from settings. Importing this module opens no file and no connection."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Protocol

from fastapi import Depends, FastAPI

from api.admission import Admission
from api.cache import CacheThread
from api.deps import Context
from api.description import describe
from api.errors import register_handlers
from api.query import refuse_unknown_parameters
from api.routes import (
    alerts,
    catalogue,
    checkpoints,
    datasets,
    evaluation_files,
    evaluations,
    events,
    health,
    jobs,
    pages,
    playground,
    sample,
    studies,
    submission,
    system,
    tokenizer_files,
    tokenizers,
    webhooks,
)
from api.routing import ThreadRoute, path_pattern
from api.security import Gate
from api.sharing import SharedAnswers
from api.static_files import CompressedFiles
from api.stream import Watchers
from api.webhook_thread import Deliverer, WebhookThread
from core.storage.cache import Cache
from jobs.database import Database
from jobs.notifier import Listener
from jobs.queue import QueueNotifier
from jobs.recovery import Sweeper, SweepThread
from jobs.settings import Settings

PREFIX = "/v1"
PARTS = (
    *(jobs, studies, events, alerts, checkpoints, playground),
    *(evaluations, evaluation_files, submission),
    *(tokenizers, tokenizer_files, datasets, sample, webhooks, catalogue, system),
)


def create_app(settings: Settings, *, database: Database | None = None) -> FastAPI:
    """Builds the API. While it runs, threads requeue jobs of lost workers and send webhooks."""
    database = database or Database(settings.database_url)
    notifier = QueueNotifier(settings.redis_url) if settings.redis_url else None
    watchers = Watchers()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        database.check_schema()
        watchers.attach(asyncio.get_running_loop())
        services = _services(settings, database, watchers, notifier)
        for service in services:
            service.start()
        yield
        for service in reversed(services):
            service.stop()
        if notifier is not None:
            notifier.close()
        database.dispose()

    app = FastAPI(
        title="BabyLM training service",
        version="1",
        description="Trains small language models from scratch on BabyLM text.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # A redirect would forward path parts that nothing has checked, such as `..`.
        redirect_slashes=False,
    )
    app.state.context = Context(
        settings=settings, database=database, watchers=watchers, notifier=notifier
    )
    register_handlers(app)
    for part in PARTS:
        app.include_router(
            part.router, prefix=PREFIX, dependencies=[Depends(refuse_unknown_parameters)]
        )
    app.include_router(health.router)
    describe(app, needs_key=bool(settings.api_keys))
    app.include_router(pages.router)
    folder = str(files("dashboard") / "dist")
    app.mount("/static", CompressedFiles(directory=folder), name="static")
    # The middleware that is added last runs first: admission, then gate, then sharing.
    app.add_middleware(SharedAnswers, paths=shared_path_pattern())
    app.add_middleware(
        Gate, keys=settings.api_keys, host=settings.host, upload_bytes=settings.upload_bytes
    )
    app.add_middleware(Admission)
    return app


def shared_path_pattern() -> re.Pattern[str]:
    """A pattern of the paths of the routes where identical requests may share one answer."""
    routes = [route for part in PARTS for route in part.router.routes]
    shared = [each for each in routes if isinstance(each, ThreadRoute) and each.is_shared]
    return path_pattern(shared, prefix=PREFIX)


class _Service(Protocol):
    """Work that runs in a thread of its own while the API runs."""

    def start(self) -> None:
        """Begins the work."""

    def stop(self) -> None:
        """Ends the work."""


def _services(
    settings: Settings, database: Database, watchers: Watchers, notifier: QueueNotifier | None
) -> list[_Service]:
    seconds = settings.sweep_seconds
    sweeper = Sweeper(database, notifier=notifier, lease_seconds=settings.lease_seconds)
    services: list[_Service] = [
        SweepThread(sweeper, seconds=seconds),
        WebhookThread(Deliverer(database, settings.allowed_networks), seconds=seconds),
    ]
    if settings.redis_url:
        services.append(Listener(settings.redis_url, watchers.wake))
    if settings.cache_bytes is not None:
        cache = Cache(settings.cache_folder)
        services.append(CacheThread(cache, max_bytes=settings.cache_bytes))
    return services
