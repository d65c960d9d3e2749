"""The playground, and addresses of pages that do not exist."""

import re

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import AXE, TORCH_MILLISECONDS

SERIOUS = ("serious", "critical")


def violations(page):
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run().then((result) => result.violations)")
    return [one["id"] for one in found if one["impact"] in SERIOUS]


def test_two_checkpoints_continue_a_prompt_and_their_tokens_are_coloured(tab, finished):
    first, second = (job["id"] for job in finished)
    page = tab.open(f"#/playground?checkpoints={first}:last")
    page.get_by_role("combobox", name=re.compile("^Job")).select_option(second)
    page.get_by_role("combobox", name=re.compile("^Checkpoint")).select_option("last")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page).to_have_url(re.compile(f"{second}(:|%3A)last"))
    page.get_by_role("textbox", name="Prompt").fill("Mary")
    page.get_by_label("New tokens").fill("8")
    page.get_by_role("button", name="Generate").click()
    texts = page.get_by_role("group", name=re.compile("^Text of"))
    expect(texts).to_have_count(2, timeout=TORCH_MILLISECONDS)
    expect(texts.first).to_contain_text("Mary")
    page.keyboard.press("Tab")  # the keyboard reaches tokens and opens their explanations
    texts.first.get_by_role("button").last.focus()
    expect(page.get_by_text("The model expected:")).to_be_visible()
    page.reload()
    expect(page.get_by_role("textbox", name="Prompt")).to_have_value("Mary")
    expect(page.get_by_role("button", name=re.compile("^Remove"))).to_have_count(2)


def test_checkpoints_that_cannot_be_loaded_are_reported(tab, finished):
    tab.may_complain = True  # the browser logs the answer of 500
    page = tab.open("#/playground")
    names = page.get_by_role("combobox", name=re.compile("^Checkpoint"))
    expect(names).to_have_text("choose a job first")
    pattern = re.compile("/checkpoints$")
    page.route(pattern, lambda route: route.fulfill(status=500, json={"detail": "disk failure"}))
    page.get_by_role("combobox", name=re.compile("^Job")).select_option(finished[0]["id"])
    expect(page.get_by_role("alert")).to_contain_text("could not be loaded: disk failure")
    expect(names).to_have_text("not loaded")
    page.unroute(pattern)
    page.get_by_role("combobox", name=re.compile("^Job")).select_option(finished[1]["id"])
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(names).to_be_enabled()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_typed_minimal_pair_is_scored_as_the_service_scores_it(tab, service, finished, scheme):
    job = finished[0]["id"]
    page = tab.open(f"#/playground?checkpoints={job}:last")
    page.emulate_media(color_scheme=scheme)
    pair = ["The dogs run.", "The dogs runs."]
    page.get_by_label("Acceptable sentence", exact=True).fill(pair[0])
    page.get_by_label("Unacceptable sentence").fill(pair[1])
    page.get_by_role("button", name="Score").click()
    scored = page.get_by_role("region", name=re.compile("^Pair scored by"))
    expect(scored.get_by_role("group")).to_have_count(2, timeout=TORCH_MILLISECONDS)
    path = f"/v1/jobs/{job}/checkpoints/last/surprisal"
    texts = service.http.post(path, json={"texts": pair}).json()["texts"]
    expect(scored).to_contain_text(f"Acceptable: {texts[0]['surprisal']:.1f} bits")
    expect(scored).to_contain_text(f"Unacceptable: {texts[1]['surprisal']:.1f} bits")
    is_right = texts[0]["surprisal"] < texts[1]["surprisal"]
    expect(scored).to_contain_text(f"prefers the {'' if is_right else 'un'}acceptable sentence")
    assert violations(page) == []


def test_the_slider_shows_the_samples_of_a_step(tab, service, finished):
    job = finished[0]["id"]
    steps = sorted(
        {event["data"]["step"] for event in service.events(job) if event["type"] == "sample"}
    )
    page = tab.open(f"#/playground?checkpoints={job}:last")
    slider = page.get_by_role("slider")
    expect(slider).to_have_attribute("aria-valuetext", f"step {steps[-1]}")
    slider.focus()
    page.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", f"step {steps[0]}")


@pytest.mark.parametrize(
    "address",
    [
        *("#/nosuch", "#/constructor", "#/__proto__", "#/system/more", "#/jobs"),
        *("#/jobs/1", "#/jobs/..%2Fworkers", "#/new/x", "#/tokenizers/..%2F..", "#/corpora/..%2Fx"),
    ],
)
def test_an_address_that_names_nothing_is_not_found_and_requests_nothing(tab, address):
    asked = []
    tab.page.on("request", lambda request: asked.append(request.url))
    page = tab.open(address)
    expect(page.get_by_role("heading", level=1)).to_have_text("Not found")
    tab.wait_until_still()  # all requests are in `asked`
    # Every page asks for the number of unread alerts.
    assert {url.partition("/v1/")[2] for url in asked if "/v1/" in url} <= {"alerts"}


def test_invalid_ids_in_a_choice_are_left_out(tab, finished):
    job = finished[0]["id"]
    asked = []
    tab.page.on("request", lambda request: asked.append(request.url))
    page = tab.open(f"#/compare?jobs={job},..%2Fsystem,1")
    expect(page.get_by_role("list", name="Runs").get_by_role("listitem")).to_have_count(1)
    tab.open(f"#/playground?checkpoints={job}:..%2Flast,{job}:last,x:last")
    expect(page.get_by_role("button", name=re.compile("^Remove"))).to_have_count(1)
    tab.wait_until_still()  # all requests are in `asked`
    assert not [url for url in asked if ".." in url]
