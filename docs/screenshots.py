"""Takes the pictures of docs/images: `make screenshots`.

Starts the service, trains real runs on the sample corpus, and photographs every page in Chromium.
With a folder as argument, each page goes there at two widths, light and dark, to be looked at.
"""

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
SETTLE_MILLISECONDS = 1500
PATIENCE_MILLISECONDS = 15_000
DRAWN = """() => {
  const curves = [...document.querySelectorAll('.chart')];
  const needs = [...document.querySelectorAll('.tokens, .lines, .numbers, .jobs tbody tr')];
  return curves.length ? curves.every((curve) => curve.dataset.points) : needs.length > 0;
}"""


@dataclass(frozen=True)
class Picture:
    """What is photographed: an address, a size, a scheme; and the height that is kept, or all."""

    name: str
    address: str
    width: int = 1280
    height: int = 860
    scheme: str = "light"
    whole: bool = False


def main() -> None:
    """Takes them all."""
    if CHROMIUM is None:
        sys.exit("Chromium is not installed: apt-get install chromium")
    review = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        write_sample(folder / "data")
        (folder / "data" / "evaluations").mkdir()
        (folder / "data" / "minimal_pairs").rename(
            folder / "data" / "evaluations" / "minimal_pairs"
        )
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        with running_service(folder) as service:
            jobs = _train(service)
            for picture in _review(jobs) if review else _pictures(jobs):
                target = (review or IMAGES) / f"{picture.name}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                _take(browser, service, picture, target)
                sys.stdout.write(f"{target}\n")
            for job in jobs:
                service.http.post(f"/v1/jobs/{job}/cancel")
        browser.close()


def _spec(name: str, **training: object) -> dict[str, object]:
    options = {
        **{"batch_size": 16, "seed": 1, "eval_tokens": 20_000},
        **{"logging_steps": 1, "eval_steps": 10, "save_steps": 40},
        **training,
    }
    return {"preset": "sample", "name": name, "training": options}


def _train(service: Service) -> list[str]:
    """One run that has ended and was judged, one in the middle of its training, one that waits."""
    peak = _spec("OLMo 2, learning rate 3e-3", max_steps=FIRST_STEPS)
    low = _spec("OLMo 2, learning rate 1e-3", learning_rate=1e-3, max_steps=FIRST_STEPS * 2)
    jobs = [service.submit(spec)["id"] for spec in (peak, low)]
    service.wait(jobs[0], seconds=1500)
    task = {"task": "minimal_pairs"}
    for checkpoint in service.http.get(f"/v1/jobs/{jobs[0]}/checkpoints").json()["data"]:
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


def _review(jobs: list[str]) -> list[Picture]:
    ended, live, waiting = jobs
    addresses = {
        "jobs": "",
        "job-ended": f"#/jobs/{ended}",
        "job-live": f"#/jobs/{live}",
        "job-waiting": f"#/jobs/{waiting}",
        "new": "#/new",
        "compare": f"#/compare?jobs={ended},{live}",
        "corpora": "#/corpora",
        "corpus": "#/corpora/sample",
        "tokenizers": "#/tokenizers",
        "system": "#/system",
    }
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
    with suppress(TimeoutError):  # a job that waits has no curve
        page.wait_for_function(DRAWN, timeout=PATIENCE_MILLISECONDS)
    page.wait_for_timeout(SETTLE_MILLISECONDS)
    page.screenshot(path=target, full_page=picture.whole)
    context.close()


if __name__ == "__main__":
    main()
