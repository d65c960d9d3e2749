"""Answers, effects and user actions in an order that is rare on a fast machine.

The tests hold requests, timers or frames of the page, so that the order does not depend on speed.
"""

import json
import re
import shutil

import pytest
from playwright.sync_api import expect

from jobs.states import FINAL
from tests.dashboard.conftest import points
from tests.dashboard.settling import settle, wait_in_page
from tests.system.service import tiny_spec
from tests.waiting import wait_for

HOLD_EFFECTS = """
() => {
  const timer = window.setTimeout;
  const held = [];
  window.requestAnimationFrame = (work) => held.push(work);
  window.setTimeout = (work, ms, ...rest) =>
    (ms ?? 0) < 100 ? held.push(work) : timer(work, ms, ...rest);
}
"""
"""Stops the effects that wait for the next frame, as if the browser drew no more frames."""


def test_the_guided_start_submits_the_choices_before_the_next_frame(tab, finished):
    page = tab.page
    asked, submitted = [], []

    def answer(route):
        if route.request.method != "POST":
            return route.fallback()
        submitted.append(route.request.post_data_json)
        return route.fulfill(status=201, json=finished[0])

    page.route(re.compile(r"/v1/jobs$"), answer)
    page.on("request", lambda sent: asked.append(sent) if "/estimate" in sent.url else None)
    tab.open("#/start?text=sample&preset=best-cpu")
    start = page.get_by_role("button", name="Start training")
    expect(start).to_be_enabled()
    chosen = [sent.post_data_json.get("data", {}).get("dataset") for sent in asked]
    page.evaluate(HOLD_EFFECTS)
    models = page.get_by_role("group", name="Models", exact=True)
    name = page.locator("code", has_text=re.compile("^sample$"))
    card = models.get_by_role("button").filter(has=name)
    card.press("Enter")
    expect(card).to_have_attribute("aria-pressed", "true")
    expect(start).to_be_enabled()
    start.press("Enter")
    expect(page).to_have_url(re.compile(f"#/jobs/{finished[0]['id']}$"))
    assert [spec["preset"] for spec in submitted] == ["sample"]
    assert set(chosen) == {"sample"}  # no estimate of the first preset without the choices


def make_corpus(service):
    path = "/v1/datasets/short-lived"
    text = b"The dog runs to the house.\n"
    service.http.post(f"{path}/files?name=text.txt", content=text).raise_for_status()
    return path, "#/corpora/short-lived", "#/corpora"


def make_study(service):
    study = service.http.post("/v1/studies", json={"spec": tiny_spec(), "seeds": 1}).json()
    path = f"/v1/studies/{study['id']}"
    service.http.post(f"{path}/cancel").raise_for_status()
    wait_for(
        lambda: service.http.get(path).json()["members"][0]["status"] in FINAL,
        what="the end of the study",
    )
    return path, f"#/studies/{study['id']}", "#/"


class HeldDeletion:
    """A page that has a read of `path` in flight, and then the deletion of the path.

    The deletion reaches the service only if `status` is 204. The page gets no answer until
    `release`.
    """

    def __init__(self, page, path, address, status):
        self.page = page
        self.status = status
        self.reads, self.late, self.deletion = [], [], []
        page.clock.install()
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        settle(page)
        page.route(re.compile(re.escape(path) + "$"), self._hold)
        page.clock.run_for(4000)  # the page polls every 2 or 3 seconds
        wait_in_page(page, lambda: self.reads, "a read in flight")
        more = page.get_by_role("button", name="More actions")
        if more.count():
            more.click()
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        wait_in_page(page, lambda: self.deletion, "the deletion")

    def _hold(self, route):
        if route.request.method == "DELETE":
            self.deletion.append((route, route.fetch() if self.status == 204 else None))
        elif self.deletion:
            self.late.append(route.request.url)
            route.continue_()
        else:
            self.reads.append(route)

    def release(self):
        for route in self.reads:
            route.continue_()
        self.page.clock.run_for(4000)
        settle(self.page)
        route, response = self.deletion[0]
        if response is not None:
            route.fulfill(response=response)
        else:
            problem = {"status": self.status, "detail": "a job needs it"}
            route.fulfill(status=self.status, json=problem)


@pytest.mark.parametrize("make", [make_corpus, make_study])
def test_a_page_does_not_read_what_it_deletes(tab, service, make):
    path, address, after = make(service)
    held = HeldDeletion(tab.page, path, tab.home + address, 204)
    held.release()
    expect(tab.page).to_have_url(tab.home + after)
    expect(tab.page.get_by_role("heading", level=1)).not_to_have_text("Not found")
    assert held.late == []


def test_a_page_reads_on_if_the_deletion_is_refused(tab, service):
    path, address, _ = make_corpus(service)
    tab.may_complain = True  # the browser logs the refusal
    held = HeldDeletion(tab.page, path, tab.home + address, 409)
    held.release()
    dialog = tab.page.get_by_role("dialog", name="The action failed")
    expect(dialog).to_contain_text("a job needs it")
    wait_in_page(tab.page, lambda: held.late, "the next read")
    tab.page.goto("about:blank")
    service.http.delete(path).raise_for_status()


def test_a_score_is_shown_if_the_evaluation_ends_before_the_list_is_read(tab, service):
    job = service.submit(tiny_spec(max_steps=2))
    service.wait(job["id"])
    folder = service.runs_dir.parent / "data" / "evaluations" / "late"
    folder.mkdir(parents=True)
    (folder / "words.json").write_text(json.dumps({"dog": [{"context": "I saw the"}]}))
    page = tab.open(f"#/jobs/{job['id']}")
    box = page.get_by_role("region", name="Evaluation", exact=True)
    box.get_by_label("Task").select_option("late")
    path = f"/v1/jobs/{job['id']}/evaluations"

    def hold(route):
        rows = wait_for(lambda: service.http.get(path).json()["data"], what="the evaluation")
        wait_for(
            lambda: service.http.get(path).json()["data"][0]["status"] in FINAL,
            what=f"the end of the evaluation {rows}",
        )
        route.continue_()

    page.route(re.compile(re.escape(path) + "$"), hold)
    box.get_by_role("button", name="Evaluate").click()
    expect(page.get_by_role("region", name="Evaluation: late")).to_be_visible()
    shutil.rmtree(folder)


def change_label(page, action, label, text):
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("button", name=action, exact=True).click()
    page.get_by_role("dialog").get_by_label(label).fill(text)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_late_answer_to_the_name_does_not_remove_the_tags(tab, service):
    job = service.submit({"preset": "sample", "name": "to be labelled"})
    service.http.post(f"/v1/jobs/{job['id']}/cancel")
    page = tab.open(f"#/jobs/{job['id']}")
    held = []

    def answer(route):
        if route.request.method != "PATCH":
            return route.continue_()
        response = route.fetch()
        if not held:
            return held.append((route, response))
        return route.fulfill(response=response)

    page.route(re.compile(f"/v1/jobs/{job['id']}$"), answer)
    change_label(page, "Rename", "Name", "labelled")
    wait_in_page(page, lambda: held, "the first change")
    change_label(page, "Tags", "Tags", "late")
    settle(page)
    route, response = held[0]
    with page.expect_event("requestfinished", lambda one: one == route.request):
        route.fulfill(response=response)
    settle(page)
    expect(page.get_by_role("link", name="late", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("labelled")


def test_the_late_answer_to_a_read_does_not_undo_a_new_name(tab, running):
    page = tab.open(f"#/jobs/{running['id']}")
    held = []

    def answer(route):
        if route.request.method == "PATCH":
            return route.continue_()
        return held.append((route, None if held else route.fetch()))

    page.route(re.compile(f"/v1/jobs/{running['id']}$"), answer)
    wait_in_page(page, lambda: held, "a read with the old name")
    change_label(page, "Rename", "Name", "a new name")
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("a new name")
    route, response = held[0]
    route.fulfill(response=response)
    settle(page)
    assert heading.inner_text() == "a new name"


def test_the_late_answer_to_a_list_does_not_restore_an_archived_job(tab, service):
    job = service.submit({"preset": "sample", "name": "to be archived"})
    service.http.post(f"/v1/jobs/{job['id']}/cancel")
    page = tab.open("#/?search=to+be+archived")
    row = page.get_by_role("row", name=job["id"][:8])
    row.get_by_role("checkbox").check()
    held = []

    def answer(route):  # holds the first list, answers the second, and holds all others
        number = len(held)
        held.append((route, None if number else route.fetch()))
        if number == 1:
            route.continue_()

    page.route(re.compile(r"/v1/jobs\?.*search="), answer)
    wait_in_page(page, lambda: held, "a list with the job")
    page.get_by_role("button", name="Archive", exact=True).click()
    expect(row).to_have_count(0)
    route, response = held[0]
    with page.expect_event("requestfinished", lambda one: one == route.request):
        route.fulfill(response=response)
    settle(page)
    assert row.count() == 0


def test_a_page_loads_again_if_its_request_was_lost_during_a_restart(tab, finished):
    lost = []

    def lose(route):  # the check of the connection that follows succeeds
        if len(lost) == 2:
            return route.continue_()
        lost.append(route)
        return route.abort()

    tab.may_complain = True  # the browser logs the lost requests
    tab.page.route(re.compile(f"/v1/jobs/{finished[0]['id']}$"), lose)
    page = tab.open(f"#/jobs/{finished[0]['id']}")
    expect(page.get_by_role("heading", level=1)).to_have_text(finished[0]["name"])


def test_a_page_that_cannot_be_loaded_says_so(tab, finished):
    tab.may_complain = True  # the browser logs the lost requests
    path = re.compile(f"/v1/jobs/{finished[0]['id']}$")
    tab.page.route(path, lambda route: route.abort())
    page = tab.open(f"#/jobs/{finished[0]['id']}")
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("This page could not be loaded")
    page.unroute(path)
    page.get_by_role("button", name="Try again").click()
    expect(heading).to_have_text(finished[0]["name"])


def test_the_end_of_a_run_is_read_at_once(tab, service, running):
    page = tab.open(f"#/jobs/{running['id']}")
    wait_in_page(page, lambda: points(page) >= 2, "a curve")
    page.evaluate(
        """() => {
          const timer = window.setTimeout;
          window.setTimeout = (work, ms, ...rest) => (ms === 1000 ? 0 : timer(work, ms, ...rest));
        }"""
    )  # the pause after the next refresh of the job never ends
    with page.expect_response(re.compile(f"/v1/jobs/{running['id']}$")):
        pass
    streams = []
    page.on("request", lambda sent: streams.append(sent) if "/events/stream" in sent.url else None)
    service.http.post(f"/v1/jobs/{running['id']}/cancel").raise_for_status()
    expect(page.locator(".page-head .status")).to_have_text("cancelled")
    assert streams == []


HOLD_TYPING = """
() => {
  const timer = window.setTimeout;
  window.typed = [];
  window.setTimeout = (work, ms, ...rest) => {
    if (ms !== 250) return timer(work, ms, ...rest);
    typed.push(work);
    return 1e9; // the id of no other timer
  };
}
"""
"""Holds the delay after typing."""


def test_a_filter_applies_if_its_menu_closes_before_the_delay_of_typing(tab, finished):
    page = tab.open("")
    page.get_by_role("button", name="Filter", exact=True).click()
    page.evaluate(HOLD_TYPING)
    page.get_by_label("Filter by values").fill("seed = 1")
    page.keyboard.press("Escape")
    page.evaluate("typed.forEach((work) => work())")
    expect(page).to_have_url(re.compile("where=seed"))


def test_a_search_does_not_change_the_address_of_the_next_page(tab, finished):
    page = tab.open("")
    field = page.get_by_label("Search jobs")
    expect(field).to_be_visible()
    page.evaluate(HOLD_TYPING)
    field.fill("tiny")
    page.get_by_role("navigation").get_by_role("link", name="Corpora").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Corpora")
    page.evaluate("typed.forEach((work) => work())")
    expect(page).to_have_url(tab.home + "#/corpora")
