import psutil
import pytest
from playwright.sync_api import expect

from jobs.states import FINAL
from tests.dashboard.conftest import chart, points
from tests.system.service import tiny_spec
from tests.waiting import wait_for


def status(page, text):
    return expect(page.locator(".page-head .status")).to_have_text(text)


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
    status(page, "running")
    page.evaluate("window.wasHere = true")
    wait_for(lambda: points(page) >= 2 or page.wait_for_timeout(100), what="a curve")
    before = points(page)
    wait_for(lambda: points(page) > before or page.wait_for_timeout(100), what="it grows")
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
    status(page, "running")


def test_a_lost_connection_is_shown_and_nothing_is_missed_or_doubled(tab, service):
    job = service.submit(tiny_spec(max_steps=250, eval_steps=250, save_steps=250))
    service.wait_for_step(job["id"], 2)
    page = tab.open(f"#/jobs/{job['id']}")
    wait_for(lambda: points(page) >= 2 or page.wait_for_timeout(100), what="a curve")
    tab.may_complain = True  # the browser logs that it could not connect
    page.evaluate("window.wasHere = true")
    _api_of(service).kill()
    banner = page.get_by_text("The service does not respond")
    expect(banner).to_be_visible()
    expect(banner).to_be_hidden()
    ended = service.wait(job["id"])
    assert ended["status"] == "succeeded", ended
    status(page, "succeeded")
    assert page.evaluate("window.wasHere")
    _expect_each_event_once(page, service, job["id"])


def test_offline_is_shown_and_the_run_catches_up_afterwards(tab, service, running):
    page = tab.open(f"#/jobs/{running['id']}")
    wait_for(lambda: points(page) >= 2 or page.wait_for_timeout(100), what="a curve")
    page.evaluate("window.wasHere = true")
    tab.disconnect()
    banner = page.get_by_text("The service does not respond")
    expect(banner).to_be_visible()
    seen = points(page)
    service.wait_for_step(running["id"], seen + 20)
    assert points(page) < seen + 20
    tab.reconnect()
    expect(banner).to_be_hidden()
    wait_for(
        lambda: points(page) > seen + 20 or page.wait_for_timeout(100),
        what="what was missed",
    )
    service.http.post(f"/v1/jobs/{running['id']}/cancel")
    status(page, "cancelled")
    assert page.evaluate("window.wasHere")
    _expect_each_event_once(page, service, running["id"])


def test_a_stream_is_requested_again_if_the_machine_goes_offline_before_its_response(tab, running):
    requests = []
    tab.page.route("**/events/stream*", lambda route: requests.append(route))
    page = tab.open(f"#/jobs/{running['id']}")
    wait_for(lambda: requests or page.wait_for_timeout(20), what="the first request")
    page.evaluate("dispatchEvent(new Event('offline'))")
    wait_for(lambda: len(requests) == 2 or page.wait_for_timeout(20), what="the second request")
    requests[1].continue_()
    wait_for(lambda: points(page) >= 2 or page.wait_for_timeout(100), what="a curve")


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


def test_a_reload_shows_the_same_run(tab, finished):
    page = tab.open(f"#/jobs/{finished[0]['id']}")
    expect(chart(page)).to_have_attribute("data-points", "13")  # 12 steps and the first validation
    status(page, "succeeded")
    expect(page.locator(".samples .sample").first).to_be_visible()
    shown = page.locator(".samples .sample").count()
    page.reload()
    status(page, "succeeded")
    expect(page.locator(".samples .sample")).to_have_count(shown)
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
    expect(page.get_by_role("row", name=job["id"][:8])).to_have_count(0)
    assert service.http.get(f"/v1/jobs/{job['id']}").status_code == 404


@pytest.fixture(autouse=True)
def _no_job_left(service):
    yield
    for job in service.http.get("/v1/jobs", params={"limit": 100}).json()["data"]:
        if job["status"] not in FINAL:
            service.http.post(f"/v1/jobs/{job['id']}/cancel")


def _expect_each_event_once(page, service, job_id):
    """The curve has a point for each measured step; each sample appears once."""
    events = service.events(job_id)
    steps = {event["data"]["step"] for event in events if event["type"] == "metrics"}
    wait_for(
        lambda: points(page) == len(steps) or page.wait_for_timeout(100),
        what=f"{len(steps)} points",
    )
    samples = [event for event in events if event["type"] == "sample"]
    expect(page.locator(".samples .sample")).to_have_count(len(samples))


def _api_of(service):
    for process in psutil.Process(service.process.pid).children(recursive=True):
        if "api" in process.cmdline():
            return process
    raise AssertionError("no process of the API")
