"""Takes pictures of every page in each state for review: `make screenshots LOOK=folder`.

Each page is photographed as a whole, at two widths and in both colour schemes. The states are an
empty service, jobs in each status, a list of 5,000 jobs, and a service that requires a key.
"""

import shutil
from pathlib import Path

from playwright.sync_api import Browser

from benchmarks.bench_dashboard import fill_jobs, serve_api
from core.sample import write_sample
from docs.photograph import Picture, take_all
from jobs.database import Database, upgrade
from jobs.settings import DATABASE_FILE
from tests.system.service import Service, running_service, tiny_spec

WIDTHS = (1440, 390)
SCHEMES = ("light", "dark")
EMPTY = {
    "empty-jobs": "",
    "empty-start": "#/start",
    "empty-new": "#/new",
    "empty-compare": "#/compare",
    "empty-playground": "#/playground",
    "empty-corpora": "#/corpora",
    "empty-tokenizers": "#/tokenizers",
    "empty-evaluations": "#/evaluations",
    "empty-system": "#/system",
    "empty-alerts": "#/?drawer=alerts",
    "not-there": "#/jobs/00000000-0000-0000-0000-000000000000",
}
LONG_NAME = "a name that a user " + "wrote_without_a_single_space_" * 5


def review(browser: Browser, folder: Path, target: Path) -> None:
    """Writes the pictures into `target`; `folder` is for the files of the services."""
    (folder / "one").mkdir()
    with running_service(folder / "one") as service:
        home = str(service.http.base_url)
        take_all(browser, home, _sheet(EMPTY), target)
        write_sample(folder / "one" / "data")
        addresses = fill(service)
        take_all(browser, home, _sheet(addresses), target)
        for job in service.http.get("/v1/jobs?status=running").json()["data"]:
            service.http.post(f"/v1/jobs/{job['id']}/cancel")
    (folder / "many").mkdir()
    upgrade(f"sqlite:///{folder / 'many' / DATABASE_FILE}")
    database = Database(f"sqlite:///{folder / 'many' / DATABASE_FILE}")
    fill_jobs(database)
    database.dispose()
    with serve_api(folder / "many") as url:
        take_all(browser, url, _sheet({"jobs-5000": ""}), target)
    (folder / "key").mkdir()
    with running_service(folder / "key", BABYLM_API_KEY="a-key-for-the-pictures") as service:
        take_all(browser, str(service.http.base_url), _sheet({"key": ""}), target)


def fill(service: Service) -> dict[str, str]:
    """Creates jobs in every status and a study. Returns the addresses of the pages by name."""
    jobs = _end_jobs(service)
    study = _study(service)
    running = service.submit(_spec("In training", max_steps=20_000))["id"]
    queued = service.submit(_spec("In the queue"))["id"]
    paused = service.submit(_spec("Paused"))["id"]
    service.http.post(f"/v1/jobs/{paused}/pause").raise_for_status()
    service.wait_for_step(running, 40, seconds=300)
    jobs |= {"running": running, "queued": queued, "paused": paused}
    compared = ",".join(jobs[name] for name in ("succeeded", "cancelled", "failed"))
    return {
        "jobs": "",
        "jobs-grouped": "#/?group=seeds",
        "jobs-no-match": "#/?search=nothing+has+this+name",
        **{f"job-{name}": f"#/jobs/{job}" for name, job in jobs.items()},
        "study": f"#/studies/{study}",
        "start": "#/start?text=sample&preset=sample",
        "new": "#/new",
        "new-like": f"#/new/{jobs['succeeded']}",
        "compare": f"#/compare?jobs={compared}",
        "playground": f"#/playground?checkpoints={jobs['succeeded']}:last",
        "corpora": "#/corpora",
        "corpus": "#/corpora/sample",
        "tokenizers": "#/tokenizers",
        "tokenizer": f"#/tokenizers/{jobs['tokenizer']}",
        "evaluations": "#/evaluations",
        "system": "#/system",
        "alerts": "#/?drawer=alerts",
    }


def _end_jobs(service: Service) -> dict[str, str]:
    """Jobs that have ended, by the name of the picture."""
    spec = _spec("OLMo 2, an entry", max_steps=60) | {"track": "strict-small"}
    ended = service.submit(spec | {"evaluation": {"tasks": ["minimal_pairs"]}})["id"]
    tokenizer = {
        "name": LONG_NAME,
        "data": {"dataset": "sample", "validation": "sample_dev"},
        "tokenizer": {"vocab_size": 600},
    }
    alone = service.http.post("/v1/tokenizers", json=tokenizer).json()["id"]
    service.wait(ended, seconds=600)
    service.wait(alone, seconds=300)
    one_line = "/v1/datasets/one_line/files?name=text.txt"
    service.http.post(one_line, content=b"The dog sleeps.\n").raise_for_status()
    data = {"dataset": "one_line", "validation": None}
    broken = service.submit(_spec("Its text is gone") | {"data": data})["id"]
    shutil.rmtree(service.runs_dir.parent / "data" / "one_line")
    service.wait(broken, seconds=300)
    cancelled = service.submit(_spec("Given up", max_steps=20_000))["id"]
    never = service.submit(_spec("Given up in the queue"))["id"]
    service.http.post(f"/v1/jobs/{never}/cancel").raise_for_status()
    service.wait_for_step(cancelled, 25, seconds=300)
    service.http.post(f"/v1/jobs/{cancelled}/cancel").raise_for_status()
    service.wait(cancelled, seconds=300)
    path = f"/v1/jobs/{ended}/submission"
    body = {"repository": "user/small", "evaluate": False}
    service.http.post(path, json=body).raise_for_status()
    names = ("succeeded", "tokenizer", "failed", "cancelled", "cancelled-in-queue")
    return dict(zip(names, (ended, alone, broken, cancelled, never), strict=True))


def _spec(name: str, *, max_steps: int = 30, **training: object) -> dict[str, object]:
    spec = tiny_spec(max_steps=max_steps, epochs=10, eval_steps=10, save_steps=20, **training)
    return spec | {"name": name}


def _study(service: Service) -> str:
    spec = _spec("A study", max_steps=10)
    body = spec | {"grid": {"training.learning_rate": [1e-3, 3e-3]}, "seeds": 2}
    answer = service.http.post("/v1/studies", json=body)
    answer.raise_for_status()
    study: str = answer.json()["id"]
    for job in service.http.get("/v1/jobs?status=queued").json()["data"]:
        service.wait(job["id"], seconds=300)
    return study


def _sheet(addresses: dict[str, str]) -> list[Picture]:
    return [
        Picture(f"{name}-{width}-{scheme}", address, width=width, scheme=scheme, whole=True)
        for name, address in addresses.items()
        for width in WIDTHS
        for scheme in SCHEMES
    ]
