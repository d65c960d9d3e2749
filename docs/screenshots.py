"""Takes the pictures of docs/images: `make screenshots`.

Starts the service, trains real runs on the sample corpus, and photographs every page in Chromium.
With a folder as argument, the program instead writes pictures of every page into this folder for
review, at two widths and in the light and the dark colour scheme.
"""

import shutil
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

from core.sample import write_sample
from tests.dashboard.chromium import ARGUMENTS, CHROMIUM
from tests.system.service import Service, running_service

IMAGES = Path(__file__).parent / "images"
FIRST_STEPS, LIVE_STEP = 160, 90
SETTLE_MILLISECONDS = 900
PATIENCE_MILLISECONDS = 15_000
EMPTY = {
    "empty-jobs": "",
    "empty-compare": "#/compare",
    "empty-tokenizers": "#/tokenizers",
    "not-there": "#/jobs/00000000-0000-0000-0000-000000000000",
}
DRAWN = """() => {
  const curves = [...document.querySelectorAll('.chart')];
  const isDrawn = (curve) => curve.dataset.points || /^Nothing/.test(curve.textContent);
  const kinds = '.tokens, .lines, .numbers, .jobs tbody tr, .empty, .notice, .found button, .task';
  return curves.length ? curves.every(isDrawn) : document.querySelectorAll(kinds).length > 0;
}"""


@dataclass(frozen=True)
class Picture:
    """A picture of a page: the name of its file, the address of the page, size and colour scheme.

    `whole` takes the whole page, and not only the part that fits into `height`.
    """

    name: str
    address: str
    width: int = 1280
    height: int = 860
    scheme: str = "light"
    whole: bool = False


def main() -> None:
    """Takes all pictures."""
    if CHROMIUM is None:
        sys.exit("Chromium is not installed: apt-get install chromium")
    review = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        write_sample(folder / "data")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        with running_service(folder) as service:
            if review:
                _take_all(browser, service, _sheet(EMPTY), review)
            jobs = _train(service)
            if review:
                _take_all(browser, service, _sheet(_addresses(service, jobs)), review)
            else:
                _take_all(browser, service, _pictures(jobs), IMAGES)
            for job in jobs:
                service.http.post(f"/v1/jobs/{job}/cancel")
        browser.close()


def _take_all(browser: Browser, service: Service, pictures: list[Picture], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        target = folder / f"{picture.name}.png"
        _take(browser, service, picture, target)
        sys.stdout.write(f"{target}\n")


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
        Picture("new", "#/new", height=980),
        Picture("compare", f"#/compare?jobs={ended},{live}", height=980),
        Picture("corpus", "#/corpora/sample", height=980),
        Picture("tokenizers", "#/tokenizers", height=780),
        Picture("system", "#/system", height=780),
        Picture("phone", f"#/jobs/{live}", width=390, height=844, scheme="dark"),
    ]


def _addresses(service: Service, jobs: list[str]) -> dict[str, str]:
    """All pages by name, also pages that are hard to lay out: a failed job, a very long name."""
    ended, live, waiting = jobs
    long_name = "a name that somebody " + "wrote_without_a_single_space_" * 5
    tokenizer = {
        "name": long_name,
        "data": {"dataset": "sample", "validation": "sample_dev"},
        "tokenizer": {"vocab_size": 600},
    }
    alone = service.http.post("/v1/tokenizers", json=tokenizer).json()["id"]
    one_line = "/v1/datasets/one_line/files?name=text.txt"
    service.http.post(one_line, content=b"The dog sleeps.\n").raise_for_status()
    data = {"dataset": "one_line", "validation": None}
    broken = service.submit(_spec("Its text is gone") | {"data": data})["id"]
    shutil.rmtree(service.runs_dir.parent / "data" / "one_line")
    service.http.post(f"/v1/jobs/{live}/pause")  # so that the jobs `alone` and `broken` run
    service.wait(live, until={"paused", "succeeded"}, seconds=300)
    service.http.post(f"/v1/jobs/{waiting}/pause")
    service.wait(waiting, until={"paused", "succeeded"}, seconds=300)
    service.wait(alone, seconds=300)
    service.wait(broken, seconds=300)
    return {
        "jobs": "",
        "job-failed": f"#/jobs/{broken}",
        "job-tokenizer": f"#/jobs/{alone}",
        "job-ended": f"#/jobs/{ended}",
        "job-live": f"#/jobs/{live}",
        "job-waiting": f"#/jobs/{waiting}",
        "new": "#/new",
        "compare": f"#/compare?jobs={ended},{live},{broken}",
        "corpora": "#/corpora",
        "corpus": "#/corpora/sample",
        "tokenizers": "#/tokenizers",
        "system": "#/system",
    }


def _sheet(addresses: dict[str, str]) -> list[Picture]:
    """Pictures of the whole pages, at two widths and in both colour schemes."""
    return [
        Picture(f"{name}-{width}-{scheme}", address, width=width, scheme=scheme, whole=True)
        for name, address in addresses.items()
        for width in (1280, 390)
        for scheme in ("light", "dark")
    ]


def _take(browser: Browser, service: Service, picture: Picture, target: Path) -> None:
    context = browser.new_context(
        viewport={"width": picture.width, "height": picture.height},
        color_scheme="dark" if picture.scheme == "dark" else "light",
    )
    page: Page = context.new_page()
    page.goto(f"{str(service.http.base_url).rstrip('/')}/{picture.address}")
    with suppress(TimeoutError):  # an incomplete picture is better than none
        page.wait_for_function(DRAWN, timeout=PATIENCE_MILLISECONDS)
    page.wait_for_timeout(SETTLE_MILLISECONDS)
    page.screenshot(path=target, full_page=picture.whole)
    context.close()


if __name__ == "__main__":
    main()
