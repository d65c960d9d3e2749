"""A real browser and the real service, started once for all tests of this folder."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from core.sample import write_sample
from tests.dashboard.chromium import ARGUMENTS, CHROMIUM
from tests.system.service import running_service, tiny_spec
from tests.waiting import wait_for

PATIENCE_MILLISECONDS = 120_000
TORCH_MILLISECONDS = 240_000
"""Maximum milliseconds until the first answer of the short worker, which first loads torch."""
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
STREAM = re.compile(r"/events/stream|[?&]follow=true")
UNUSED_PRELOAD = "was preloaded using link preload but not used"
IS_STILL = """async () => {
  const layout = () => JSON.stringify(
    [...document.querySelectorAll("body *")].map((node) => node.getBoundingClientRect()));
  const before = layout();
  for (let number = 0; number < 3; number += 1) {
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  }
  return document.fonts.status === "loaded" && layout() === before;
}"""
"""Whether the fonts are loaded and no element moves during three frames."""


def pytest_collection_modifyitems(items):
    missing = pytest.mark.skip(reason="Chromium is not installed: apt-get install chromium")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(missing)


@pytest.fixture(scope="package")
def browser():
    expect.set_options(timeout=PATIENCE_MILLISECONDS)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="package")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dashboard")
    write_sample(folder / "data", target_bytes=60_000)
    with running_service(folder) as running:
        yield running


@pytest.fixture(scope="package")
def finished(service):
    """Two finished runs with different seeds."""
    jobs = [
        service.submit(tiny_spec(max_steps=12, eval_steps=6, save_steps=6, seed=seed))
        for seed in (1, 2)
    ]
    return [service.wait(job["id"]) for job in jobs]


class Tab:
    """A page of the dashboard that records errors."""

    def __init__(self, service, page):
        self.service = service
        self.page = page
        self.home = str(service.http.base_url).rstrip("/") + "/"
        self.complaints = []
        self.may_complain = False
        self.num_requests = 0
        self.unanswered = set()
        page.set_default_timeout(PATIENCE_MILLISECONDS)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.on("request", self._request)
        for event in ("requestfinished", "requestfailed"):
            page.on(event, lambda request: self.unanswered.discard(request))

    def _console(self, message):
        # The browser itself logs an answer of 422, such as that of a refused estimate.
        is_refusal = message.location["url"].endswith("/v1/jobs/estimate") and "422" in message.text
        # The browser also logs that a font is not used yet, if the page takes seconds to appear.
        is_allowed = self.may_complain or is_refusal or UNUSED_PRELOAD in message.text
        if message.type in ("error", "warning") and not is_allowed:
            self.complaints.append(f"{message.type}: {message.text} {message.location}")

    def _request(self, request):
        if not request.url.startswith((self.home, "data:", "blob:")):
            self.complaints.append(f"a request to {request.url}")
        if request.resource_type in ("fetch", "xhr"):
            self.num_requests += 1
            self.unanswered.add(request)

    def wait_until_still(self, *, has_streams=False):
        """Waits until all requests of the page are answered and its layout no longer changes.

        The state `networkidle` of Playwright does not show this: after a change of only the hash it
        is reached at once, and a slow page can take longer than half a second between two requests.
        `has_streams` ignores the open streams on the page of a running job, which do not end.
        """

        def open_requests():
            return [
                request.url
                for request in self.unanswered
                if not (has_streams and STREAM.search(request.url))
            ]

        def is_still():
            number, before = self.num_requests, open_requests()
            is_layout_still = self.page.evaluate(IS_STILL)
            return is_layout_still and not before and self.num_requests == number

        wait_for(is_still, what=lambda: f"a page at rest; open requests: {open_requests()}")

    def disconnect(self):
        """Puts the browser offline: new requests fail, but Chromium does not end open streams.

        Chromium informs the page before it blocks requests, and a page reconnects at once. The
        route fails these early requests too.
        """
        self.may_complain = True  # the browser logs that it is offline
        self.page.context.route("**/*", lambda route: route.abort())
        self.page.context.set_offline(True)

    def reconnect(self):
        self.page.context.unroute("**/*")
        self.page.context.set_offline(False)

    def open(self, address):
        self.page.goto(self.home + address)
        return self.page


class HeldRequests:
    """Holds back the requests of a page to some addresses until the test releases them.

    The page can repeat such a request at any time. After `release`, a repeated request is not held.
    """

    def __init__(self, page, addresses):
        self.routes = []
        self.is_released = False
        page.route(addresses, self._hold)

    def _hold(self, route):
        if self.is_released:
            route.continue_()
        else:
            self.routes.append(route)

    def release(self):
        self.is_released = True
        for route in self.routes:
            route.continue_()


@pytest.fixture
def tab(service, browser):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened = Tab(service, context.new_page())
    yield opened
    context.close()
    assert opened.complaints == []


@pytest.fixture
def running(service):
    """A run that takes longer than any test and is cancelled afterwards.

    It logs fewer than 500 points. The API returns at most 500 points of a series, so a page shows
    all points even if it reads them late.
    """
    spec = tiny_spec(max_steps=20_000, eval_steps=200, save_steps=200, logging_steps=50)
    job = service.submit(spec)
    service.wait_for_step(job["id"], 50)
    yield service.job(job["id"])
    if service.job(job["id"])["status"] == "running":
        service.http.post(f"/v1/jobs/{job['id']}/cancel")
        service.wait(job["id"])


def chart(page, title="Loss"):
    """The drawing of the chart with that title; `data-points` is its number of points."""
    return page.get_by_role("region", name=title, exact=True).locator(".chart")


def points(page):
    """The current number of points of the loss curve."""
    return int(chart(page).get_attribute("data-points") or 0)
