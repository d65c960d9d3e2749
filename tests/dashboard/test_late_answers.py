"""Answers, effects and user actions in an order that is rare on a fast machine.

The tests hold requests, timers or frames of the page, so that the order does not depend on speed.
"""

import re

from playwright.sync_api import expect

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
