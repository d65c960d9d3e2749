"""Takes the pictures of docs/images: `make screenshots`.

Starts the service, trains real runs on the sample corpus, and photographs every page in Chromium.
With a folder as argument, the program instead writes pictures of every page in each state into
this folder for review, at two widths and in the light and the dark colour scheme.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from core.sample import write_sample
from docs.photograph import Picture, take_all
from docs.review import review
from tests.dashboard.chromium import ARGUMENTS, CHROMIUM
from tests.system.service import Service, running_service

IMAGES = Path(__file__).parent / "images"
FIRST_STEPS, LIVE_STEP = 160, 90


def main() -> None:
    """Takes all pictures."""
    if CHROMIUM is None:
        sys.exit("Chromium is not installed: apt-get install chromium")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        if len(sys.argv) > 1:
            review(browser, Path(name), Path(sys.argv[1]))
        else:
            _take_images(browser, Path(name))
        browser.close()


def _take_images(browser: Browser, folder: Path) -> None:
    write_sample(folder / "data")
    with running_service(folder) as service:
        jobs = _train(service)
        take_all(browser, str(service.http.base_url), _pictures(jobs), IMAGES)
        for job in jobs:
            service.http.post(f"/v1/jobs/{job}/cancel")


def _spec(name: str, **training: object) -> dict[str, object]:
    options = {
        **{"batch_size": 16, "seed": 1, "eval_tokens": 20_000},
        **{"logging_steps": 1, "eval_steps": 10, "save_steps": 40},
        **training,
    }
    task = {"tasks": ["minimal_pairs"]}
    return {"preset": "sample", "name": name, "training": options, "evaluation": task}


def _train(service: Service) -> list[str]:
    """Returns three jobs: one has ended and is evaluated, one is in training, and one waits."""
    peak = _spec("OLMo 2, learning rate 3e-3", max_steps=FIRST_STEPS)
    low = _spec("OLMo 2, learning rate 1e-3", learning_rate=1e-3, max_steps=FIRST_STEPS * 2)
    jobs = [service.submit(spec)["id"] for spec in (peak, low)]
    service.wait(jobs[0], seconds=1500)
    task = {"task": "minimal_pairs"}
    for checkpoint in service.http.get(f"/v1/jobs/{jobs[0]}/checkpoints").json()["data"]:
        if checkpoint["name"] == "last":
            continue  # the run itself has evaluated this checkpoint
        path = f"/v1/jobs/{jobs[0]}/checkpoints/{checkpoint['name']}/evaluations"
        service.http.post(path, json=task).raise_for_status()
    jobs.append(service.submit(_spec("Gemma 2, same size") | {"model": _gemma2()})["id"])
    given_up = service.submit(_spec("Given up"))["id"]
    service.http.post(f"/v1/jobs/{given_up}/cancel")
    service.wait_for_step(jobs[1], LIVE_STEP, seconds=1500)
    return jobs


def _gemma2() -> dict[str, object]:
    return {"architecture": "gemma2", "hidden_size": 96, "num_hidden_layers": 3}


def _pictures(jobs: list[str]) -> list[Picture]:
    ended, live, _ = jobs
    return [
        Picture("run", f"#/jobs/{live}"),
        Picture("run-dark", f"#/jobs/{ended}", scheme="dark"),
        Picture("jobs", "", height=560),
        Picture("start", "#/start?text=sample&preset=sample", height=980),
        Picture("new", "#/new", height=980),
        Picture("compare", f"#/compare?jobs={ended},{live}", height=980),
        Picture("corpus", "#/corpora/sample", height=980),
        Picture("tokenizers", "#/tokenizers", height=780),
        Picture("system", "#/system", height=780),
        Picture("phone", f"#/jobs/{live}", width=390, height=844, scheme="dark"),
    ]


if __name__ == "__main__":
    main()
