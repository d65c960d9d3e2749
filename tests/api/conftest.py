"""The real app with a real database file, called in this process."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.app import create_app
from core.events.types import CheckpointData, CheckpointFile, MetricsData, event_of
from core.spec.job import JobSpec
from jobs.attempts import claim_next, finish, record_events
from jobs.database import Database, upgrade
from jobs.settings import DATABASE_FILE, Settings
from jobs.store import create_job
from jobs.tables import WorkerRow, new_id
from jobs.workers import report_worker
from tests.api.raw import RawClient
from tests.postgres import URL, postgres_database

TEXT = {"childes": "*MOT:\tyou want the ball .\n", "gutenberg": "The dog ran home.\n"}
SPEC = {
    "name": "tiny",
    "data": {"dataset": "words", "validation": "words_dev"},
    "tokenizer": {"vocab_size": 300},
    "model": {"architecture": "olmo2", "hidden_size": 32, "num_hidden_layers": 2},
    "training": {"seq_length": 32, "batch_size": 4, "epochs": 1},
}


def write_corpus(data_dir: Path) -> None:
    for folder, suffix in (("words", "train"), ("words_dev", "dev")):
        (data_dir / folder).mkdir(parents=True)
        for source, line in TEXT.items():
            (data_dir / folder / f"{source}.{suffix}").write_text(line * 20)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with all migrations, copied for each test because creating one is slow."""
    file = tmp_path_factory.mktemp("migrated") / DATABASE_FILE
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture
def settings(tmp_path: Path, migrated: Path, store: str) -> Iterator[Settings]:
    folders = {"data_dir": tmp_path / "data", "runs_dir": tmp_path / "runs"}
    write_corpus(folders["data_dir"])
    folders["runs_dir"].mkdir()
    if store == "postgres":
        with postgres_database(os.environ[URL], migrated=True) as url:
            yield Settings(_env_file=None, database_url=url, **folders)
    else:
        shutil.copy(migrated, folders["runs_dir"] / DATABASE_FILE)
        yield Settings(_env_file=None, **folders)


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


def local_client(app: FastAPI, **options: bool) -> TestClient:
    """A client with the address 127.0.0.1; TestClient's default is the address "testclient"."""
    return TestClient(app, base_url="http://localhost", client=("127.0.0.1", 50_000), **options)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    # An unhandled exception of the app becomes an answer of 500, as for users, and is not raised.
    with local_client(app, raise_server_exceptions=False) as opened:
        yield opened


@pytest.fixture
def raw(app: FastAPI, client: TestClient) -> RawClient:
    return RawClient(app)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    opened = Database(settings.database_url)
    yield opened
    opened.dispose()


class World:
    """Writes the rows that workers would write."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings

    def job(self, **fields: object) -> str:
        spec = JobSpec.model_validate(SPEC | fields).resolve()
        with self.database.write() as session:
            return create_job(session, spec)[0].id

    def running(self, **fields: object) -> str:
        self.job(**fields)
        return self.claim()

    def claim(self) -> str:
        with self.database.write() as session:
            claimed = claim_next(session, "worker-1")
            assert claimed is not None
            return claimed.id

    def record(self, job_id: str, *data: object, attempt: int = 1) -> None:
        with self.database.write() as session:
            events = [event_of(each) for each in data]
            record_events(session, job_id, attempt, events, journal_offset=0)

    def metrics(self, job_id: str, step: int, **values: float | None) -> None:
        named = {name.replace("__", "/"): value for name, value in values.items()}
        data = MetricsData(
            step=step, epoch=step / 10, tokens_seen=step * 100, words_seen=step * 70, values=named
        )
        self.record(job_id, data)

    def checkpoint(
        self, job_id: str, name: str = "last", *, step: int = 3, files: dict[str, bytes]
    ) -> Path:
        """Writes the files of a checkpoint and the row that lists them."""
        from hashlib import sha256

        folder = self.settings.job_folder(job_id) / "checkpoints" / name
        folder.mkdir(parents=True)
        entries = []
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
            digest = sha256(content).hexdigest()
            entries.append(CheckpointFile(path=path, size=len(content), sha256=digest))
        data = CheckpointData(
            action="saved",
            name=name,
            kind="last" if name == "last" else "rolling",
            step=step,
            tokens_seen=step * 100,
            words_seen=step * 70,
            files=entries,
        )
        self.record(job_id, data)
        return folder

    def end(self, job_id: str, status: str = "succeeded") -> None:
        with self.database.write() as session:
            finish(session, job_id, 1, status)

    def worker(self, queue: str = "train", devices: list[dict] | None = None) -> str:
        from core.events.types import now

        row = WorkerRow(
            id=f"host-{queue}-{new_id()[:8]}",
            hostname="host",
            machine="boot",
            pid=1,
            queue=queue,
            slots=1,
            devices=devices or [],
            job_ids=[],
            started_at=now(),
            seen_at=now(),
        )
        with self.database.write() as session:
            report_worker(session, row)
        return row.id


@pytest.fixture
def world(database: Database, settings: Settings) -> World:
    return World(database, settings)
