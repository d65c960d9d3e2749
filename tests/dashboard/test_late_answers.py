"""Answers, effects and user actions in an order that is rare on a fast machine.

The tests hold requests, timers or frames of the page, so that the order does not depend on speed.
"""

import json
import re
import shutil
from urllib.parse import parse_qs, urlsplit

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
    assert set(chosen) == {"sample"}  # each estimate was for the chosen text


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


def test_a_lost_read_after_the_start_of_an_evaluation_is_repeated(tab, service):
    job = service.submit(tiny_spec(max_steps=2))
    service.wait(job["id"])
    lost = []

    def lose(route):
        if lost:
            return route.continue_()
        lost.append(route)
        return route.abort()

    page = tab.open(f"#/jobs/{job['id']}")
    box = page.get_by_role("region", name="Evaluation", exact=True)
    box.get_by_label("Task").select_option("minimal_pairs")
    tab.may_complain = True  # the browser logs the lost request
    page.route(re.compile(f"/v1/jobs/{job['id']}/evaluations$"), lose)
    start = box.get_by_role("button", name="Evaluate")
    start.click()
    wait_in_page(page, lambda: lost, "the lost read")
    expect(start).to_be_enabled()
    assert box.get_by_role("alert").count() == 0
    expect(box.get_by_role("row", name="minimal_pairs")).to_be_visible()


def evaluate_while_running(service, path):
    """Evaluates a checkpoint of a running job; returns after the evaluation has ended."""
    checkpoints = wait_for(
        lambda: service.http.get(f"{path}/checkpoints").json()["data"], what="a checkpoint"
    )
    service.http.post(
        f"{path}/checkpoints/{checkpoints[0]['name']}/evaluations", json={"task": "minimal_pairs"}
    ).raise_for_status()
    wait_for(
        lambda: service.http.get(f"{path}/evaluations").json()["data"][0]["status"] in FINAL,
        what="the end of the evaluation",
    )


def test_the_page_of_a_running_job_with_scores_reads_each_metric_once(tab, service, running):
    path = f"/v1/jobs/{running['id']}"
    evaluate_while_running(service, path)
    page = tab.page
    first_last_seq, names = [], []

    def answer(route):  # delays the second answer until the job has new events
        if first_last_seq:
            wait_for(
                lambda: service.job(running["id"])["last_seq"] > first_last_seq[0], what="an event"
            )
            return route.continue_()
        response = route.fetch()
        first_last_seq.append(response.json()["last_seq"])
        return route.fulfill(response=response)

    def note(sent):
        query = parse_qs(urlsplit(sent.url).query)
        if sent.url.split("?")[0].endswith(f"{path}/metrics") and "extremes" not in query:
            names.extend(query["names"][0].split(","))

    page.route(re.compile(f"{path}$"), answer)
    page.on("request", note)
    with page.expect_request(re.compile("/events/stream")):  # sent when the page has loaded
        tab.open(f"#/jobs/{running['id']}")
    assert "evaluation/minimal_pairs" in names
    assert len(names) == len(set(names))


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

    def lose(route):  # only the first two requests; the page can still reach /healthz
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
"""Keeps the callbacks of the delay after typing in `typed`, until the test calls them."""


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
