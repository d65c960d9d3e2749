import psutil
import pytest
from playwright.sync_api import expect

from core.storage.rundir import RunDir
from jobs.states import FINAL
from tests.dashboard.conftest import TORCH_MILLISECONDS, HeldRequests, chart, points
from tests.dashboard.settling import wait_in_page
from tests.system.service import tiny_spec
from tests.waiting import wait_for

METRICS = '"type":"metrics"'
"""What the line of a measured step in a journal contains."""


def status(page, text, **options):
    return expect(page.locator(".page-head .status")).to_have_text(text, **options)


def test_a_job_is_submitted_by_the_form_watched_without_reload_and_cancelled(tab):
    page = tab.open("#/new")
    page.get_by_role("button", name="sample", exact=False).first.click()
    page.get_by_label("Name").fill("from the form")
    training = page.get_by_role("region", name="Training")
    training.get_by_text("All options").click()
    for label, value in [
        ("Maximum steps", "20000"),
        ("Epochs", "10000"),
        ("Sequence length", "32"),
        ("Batch size (sequences)", "4"),
        ("CPU threads", "1"),
        ("Steps between measurements", "1"),
        ("Steps between validations", "500"),
        ("Validation tokens", "1000"),
    ]:
        training.get_by_label(label, exact=True).fill(value)
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("heading", level=1, name="from the form")).to_be_visible()
    status(page, "running", timeout=TORCH_MILLISECONDS)
    page.evaluate("window.wasHere = true")
    wait_in_page(page, lambda: points(page) >= 2, "a curve")
    before = points(page)
    wait_in_page(page, lambda: points(page) > before, "growth of the curve")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel the job").click()
    status(page, "cancelled")
    assert page.evaluate("window.wasHere")
    expect(page.get_by_role("button", name="Retry")).to_be_visible()


def test_a_run_is_paused_and_resumed(tab, running):
    page = tab.open(f"#/jobs/{running['id']}")
    page.get_by_role("button", name="Pause").click()
    status(page, "paused")
    page.get_by_role("button", name="Resume").click()
    status(page, "running", timeout=TORCH_MILLISECONDS)


def test_a_lost_connection_is_shown_and_nothing_is_missed_or_doubled(tab, service, running):
    page = _page_with_stream(tab, running)
    tab.may_complain = True  # the browser logs that it could not connect
    page.evaluate("window.wasHere = true")
    banner = page.get_by_text("The service does not respond")
    journal = RunDir(service.runs_dir / "jobs" / running["id"]).journal
    supervisor = psutil.Process(service.process.pid)
    supervisor.suspend()  # so that the API does not start again before the page has missed steps
    try:
        _api_of(service).kill()
        expect(banner).to_be_visible()
        missed = journal.read_text().count(METRICS) + 4
        wait_for(lambda: journal.read_text().count(METRICS) >= missed, what="further steps")
    finally:
        supervisor.resume()
    expect(banner).to_be_hidden()
    now = service.job(running["id"])
    assert (now["status"], now["attempt"]) == ("running", running["attempt"])
    service.http.post(f"/v1/jobs/{running['id']}/cancel")
    status(page, "cancelled")
    assert page.evaluate("window.wasHere")
    _expect_each_event_once(page, service, running["id"])


def test_offline_is_shown_and_the_run_catches_up_afterwards(tab, service, running):
    page = _page_with_stream(tab, running)
    page.evaluate("window.wasHere = true")
    tab.disconnect()
    banner = page.get_by_text("The service does not respond")
    expect(banner).to_be_visible()
    # The page has closed its stream. It draws the last points of the stream in the next frame.
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    seen = points(page)
    missed = len(_measured_steps(service, running["id"])) + 4
    wait_for(
        lambda: len(_measured_steps(service, running["id"])) >= missed,
        what="steps that the page misses",
    )
    assert points(page) == seen
    tab.reconnect()
    expect(banner).to_be_hidden()
    wait_in_page(page, lambda: points(page) >= missed, "the missed points")
    service.http.post(f"/v1/jobs/{running['id']}/cancel")
    status(page, "cancelled")
    assert page.evaluate("window.wasHere")
    _expect_each_event_once(page, service, running["id"])


def test_a_stream_is_requested_again_if_the_machine_goes_offline_before_its_response(tab, running):
    held = HeldRequests(tab.page, "**/events/stream*")
    page = tab.open(f"#/jobs/{running['id']}")
    wait_in_page(page, lambda: held.routes, "the first request")
    page.evaluate("dispatchEvent(new Event('offline'))")
    wait_in_page(page, lambda: len(held.routes) >= 2, "the second request")
    before = points(page)
    held.release()
    wait_in_page(page, lambda: points(page) > before, "growth of the curve")


@pytest.mark.parametrize("address", ["", "#/corpora", "#/system"])
def test_a_list_shows_a_lost_connection_and_continues(tab, address):
    page = tab.open(address)
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_be_visible()
    page.evaluate("document.querySelector('h1').wasHere = true")
    tab.disconnect()
    banner = page.get_by_text("The service does not respond")
    expect(banner).to_be_visible()
    tab.reconnect()
    expect(banner).to_be_hidden()
    assert page.evaluate("document.querySelector('h1').wasHere")


def test_the_message_of_a_lost_connection_ends_when_the_page_has_loaded(tab, finished):
    tab.may_complain = True  # the browser logs the failed requests
    for path in ("**/v1/**", "**/healthz"):
        tab.page.route(path, lambda route: route.abort())
    page = tab.open(f"#/jobs/{finished[0]['id']}")
    banner = page.get_by_text("The service does not respond")
    expect(banner).to_be_visible()
    for path in ("**/v1/**", "**/healthz"):
        page.unroute(path)
    status(page, "succeeded")
    expect(banner).to_be_hidden()


def test_a_reload_shows_the_same_run(tab, service, finished):
    page = tab.open(f"#/jobs/{finished[0]['id']}")
    expect(chart(page)).to_have_attribute("data-points", "13")  # 12 steps and the first validation
    status(page, "succeeded")
    samples = [e for e in service.events(finished[0]["id"]) if e["type"] == "sample"]
    assert samples
    expect(page.locator(".samples .sample")).to_have_count(len(samples))
    page.reload()
    status(page, "succeeded")
    expect(page.locator(".samples .sample")).to_have_count(len(samples))
    expect(chart(page)).to_have_attribute("data-points", "13")


def test_the_log_is_followed_searched_and_narrowed(tab, running):
    page = tab.open(f"#/jobs/{running['id']}")
    log = page.get_by_role("log")
    expect(log).to_contain_text("stage train")
    page.get_by_label("Search the log").fill("tokenizer")
    expect(log.locator("mark").first).to_have_text("tokenizer")
    expect(log).not_to_contain_text("stage clean")
    page.get_by_label("Search the log").fill("")
    page.get_by_label("Lines shown").select_option("errors")
    expect(log).to_have_text("No matching line.")


def test_jobs_are_found_filtered_and_cancelled_together(tab, service, running):
    waiting = [service.submit(tiny_spec() | {"name": f"waits {index}"}) for index in range(3)]
    page = tab.open("")
    row = page.get_by_role("row", name="waits 0")
    expect(row).to_contain_text("in the queue")
    page.get_by_label("Search jobs").fill("waits")
    expect(page.locator(".jobs tbody tr")).to_have_count(3)
    page.get_by_role("button", name="queued").click()
    expect(page).to_have_url(tab.home + "#/?search=waits&status=queued")
    page.get_by_label("Select all jobs on this page").check()
    page.get_by_role("button", name="Cancel 3").click()
    page.get_by_role("button", name="Cancel the jobs").click()
    expect(page.get_by_text("No matching job")).to_be_visible()
    assert {service.job(job["id"])["status"] for job in waiting} == {"cancelled"}
    assert service.job(running["id"])["status"] == "running"


def test_an_ended_job_is_deleted_with_its_row(tab, service):
    job = service.submit(tiny_spec(max_steps=1))
    service.wait(job["id"])
    page = tab.open(f"#/jobs/{job['id']}")
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page).to_have_url(tab.home + "#/")
    rows = page.locator(".jobs tbody tr")
    expect(rows.or_(page.get_by_role("heading", name="No jobs yet")).first).to_be_visible()
    expect(page.get_by_role("row", name=job["id"][:8])).to_have_count(0)
    assert service.http.get(f"/v1/jobs/{job['id']}").status_code == 404


@pytest.fixture(autouse=True)
def _no_job_left(service):
    yield
    for job in service.http.get("/v1/jobs", params={"limit": 100}).json()["data"]:
        if job["status"] not in FINAL:
            service.http.post(f"/v1/jobs/{job['id']}/cancel")


def _page_with_stream(tab, job):
    """The page of a running job, after it has loaded everything and opened its stream."""
    with tab.page.expect_response("**/events/stream*"):
        page = tab.open(f"#/jobs/{job['id']}")
    wait_in_page(page, lambda: points(page) >= 2, "a curve")
    return page


def _measured_steps(service, job_id):
    """The steps with a point in the chart of the loss."""
    metrics = [event["data"] for event in service.events(job_id) if event["type"] == "metrics"]
    lines = {"train/loss", "validation/loss"}
    return {data["step"] for data in metrics if lines & data["values"].keys()}


def _expect_each_event_once(page, service, job_id):
    """The curve has a point for each measured step; each sample appears once."""
    steps = _measured_steps(service, job_id)
    wait_in_page(
        page,
        lambda: points(page) == len(steps),
        lambda: f"{len(steps)} points instead of {points(page)}",
    )
    samples = [event for event in service.events(job_id) if event["type"] == "sample"]
    expect(page.locator(".samples .sample")).to_have_count(len(samples))


def _api_of(service):
    for process in psutil.Process(service.process.pid).children(recursive=True):
        try:
            line = process.cmdline()
        except psutil.NoSuchProcess:  # the process ended after it was listed
            continue
        if "api" in line:
            return process
    raise AssertionError("no process of the API")
