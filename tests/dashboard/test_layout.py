"""Values, units and columns that fit into their place."""

from playwright.sync_api import expect

PHONE, DESKTOP = ({"width": width, "height": 860} for width in (390, 1440))
TOO_WIDE = """() => [...document.querySelectorAll('.numbers dd')]
  .filter((value) => value.scrollWidth > value.clientWidth)
  .map((value) => value.textContent)"""
HIDDEN_PIXELS = """() => {
  const { scrollWidth, clientWidth } = document.querySelector('.jobs');
  return scrollWidth - clientWidth;
}"""


def test_no_value_of_a_running_job_covers_the_next(tab, running):
    tab.page.set_viewport_size(PHONE)
    page = tab.open(f"#/jobs/{running['id']}")
    expect(page.locator(".numbers dd", has_text="at step").first).to_be_visible()
    tab.wait_until_still(has_streams=True)  # a font that loads later changes the widths
    assert page.evaluate(TOO_WIDE) == []


def test_the_list_of_jobs_shows_its_last_column(tab, service, running):
    service.http.patch(f"/v1/jobs/{running['id']}", json={"name": "a long name " * 8})
    tab.page.set_viewport_size(DESKTOP)
    page = tab.open("#/?columns=status,progress,loss,speed,memory,time")
    expect(page.get_by_role("row", name=running["id"][:8])).to_contain_text("at step")
    tab.wait_until_still()  # the curves of the rows and the fonts can load later
    assert page.evaluate(HIDDEN_PIXELS) == 0


def test_a_message_begins_with_a_capital_unless_it_begins_with_a_name(tab, service):
    body = {"preset": "sample", "training": {"max_steps": 1}, "track": "strict-small"}
    [warning, *_] = service.http.post("/v1/jobs/estimate", json=body).json()["warnings"]
    assert warning[0].islower()
    page = tab.open("#/new")
    page.get_by_role("region", name="Training").get_by_label("Maximum steps").fill("1")
    page.locator("#field-track").select_option(label="strict-small")
    needs = page.get_by_role("region", name="What it will need")
    expect(needs.locator(".notice").first).to_contain_text(warning[0].upper() + warning[1:])
