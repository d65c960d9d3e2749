import fastapi
import pytest

from api.app import create_app
from core.storage.cache import Cache
from tests.api.conftest import local_client
from tests.api.raw import RawClient


def test_versions_disks_queue_and_cache(client, world, settings):
    world.running()
    world.job()
    Cache(settings.cache_folder).get("clean", "f" * 32, lambda folder: fill(folder, 1000))
    found = client.get("/v1/system").json()
    assert found["versions"]["fastapi"] == fastapi.__version__
    assert set(found["disks"]) == {"data", "runs"}
    for disk in found["disks"].values():
        assert 0 <= disk["free_bytes"] <= disk["total_bytes"]
    assert found["queue"] == {"queued": 1, "running": 1, "paused": 0, "short": 0}
    assert found["cache"] == {"entries": 1, "bytes": 1000, "limit_bytes": None}
    assert str(settings.runs_dir) not in client.get("/v1/system").text


def fill(folder, size: int) -> None:
    (folder / "file").write_bytes(b"x" * size)


def test_a_worker_shows_its_devices_as_its_driver_reports_them(client, world):
    gpu = {
        "index": 0,
        "kind": "cuda",
        "name": "GPU",
        "memory_bytes": 80,
        "memory_used_bytes": 8,
        "utilization": 0.5,
        "temperature_celsius": 40,
        "power_watts": 300.0,
    }
    name = world.worker("train", devices=[gpu])
    [worker] = client.get("/v1/workers").json()["data"]
    assert worker["id"] == name
    assert worker["devices"] == [gpu]
    assert worker["queue"] == "train"


@pytest.mark.parametrize("path", ["/v1/system", "/v1/workers", "/v1/evaluations"])
def test_an_empty_service_answers_too(settings, tmp_path, path):
    empty = settings.model_copy(update={"data_dir": tmp_path / "none"})
    app = create_app(empty)
    assert RawClient(app).send("GET", path).status == 200
    app.state.context.database.dispose()  # the lifespan, which would do this, did not run


def test_the_cache_is_kept_within_its_limit(settings):
    cache = Cache(settings.cache_folder)
    for number in range(4):
        cache.get("clean", f"{number}" * 32, lambda folder: fill(folder, 1000))
    cache.release()
    app = create_app(settings.model_copy(update={"cache_bytes": 2000}))
    with local_client(app) as client:
        for _ in range(2000):
            found = client.get("/v1/system").json()["cache"]
            if found["bytes"] <= 2000:
                break
    assert found == {"entries": 2, "bytes": 2000, "limit_bytes": 2000}
