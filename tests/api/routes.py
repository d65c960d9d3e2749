"""The routes of the app, read from its OpenAPI document."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from api.app import create_app
from jobs.settings import Settings

BINARY = "application/octet-stream"
PAGES = ("/", "/docs", "/openapi.json")
EXAMPLES = {
    "name": "last",
    "path": "config.json",
    "file": "childes.train",
    "dataset": "words",
    "task": "blimp",
    "evaluation": "0" * 32,
    "study_id": "0" * 32,
    "webhook": "0" * 32,
    "delivery": "0" * 32,
}


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    takes_file: bool = False
    """Whether the body is a file and not JSON."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@lru_cache
def routes() -> tuple[Route, ...]:
    """Every operation in the OpenAPI document, sorted by path."""
    with TemporaryDirectory() as folder:
        app = create_app(Settings(_env_file=None, runs_dir=Path(folder)))
    paths = app.openapi()["paths"]
    return tuple(
        Route(method.upper(), path, takes_file=BINARY in str(operation.get("requestBody")))
        for path, operations in sorted(paths.items())
        for method, operation in operations.items()
    )


def filled(path: str, *, job_id: str, **names: str) -> str:
    """The path with a value for each of its parameters."""
    values = EXAMPLES | {"job_id": job_id} | names
    for name, value in values.items():
        path = path.replace("{" + name + "}", value)
    assert "{" not in path, path
    return path
