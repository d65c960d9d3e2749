import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import AXE, Tab

PAGES = {
    "jobs": "",
    "job": "#/jobs/{}",
    "guided start": "#/start",
    "new job": "#/new",
    "compare": "#/compare?jobs={},{}",
    "groups of seeds": "#/compare?jobs={0},{1}&group=seeds&baseline={0}",
    "jobs by seeds": "#/?group=seeds",
    "corpora": "#/corpora",
    "corpus": "#/corpora/sample",
    "tokenizers": "#/tokenizers?with={},{}",
    "evaluations": "#/evaluations",
    "alerts": "#/corpora?drawer=alerts",
    "system": "#/system",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_serious_fault_of_accessibility(service, browser, finished, name, scheme):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    tab = Tab(service, context.new_page())
    page = tab.open(PAGES[name].format(*(job["id"] for job in finished)))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    tab.wait_until_still()
    page.evaluate("for (const node of document.querySelectorAll('details')) node.open = true")
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run().then((result) => result.violations)")
    serious = [
        (fault["id"], node["target"], node["failureSummary"])
        for fault in found
        for node in fault["nodes"]
        if fault["impact"] in ("serious", "critical")
    ]
    assert serious == []
    context.close()
    assert tab.complaints == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_phone(service, browser, finished, name):
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    tab = Tab(service, context.new_page())
    page = tab.open(PAGES[name].format(*(job["id"] for job in finished)))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    tab.wait_until_still()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()
    assert tab.complaints == []


def test_a_long_name_fits_a_phone(service, browser, finished):
    name = "wrote_without_a_single_space_" * 6
    job = service.submit({"preset": "sample", "name": name})
    service.http.post(f"/v1/jobs/{job['id']}/cancel")
    ids = ",".join([job["id"], finished[0]["id"]])
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    tab = Tab(service, context.new_page())
    # Only an element that the previous page lacks shows that this page has loaded.
    pages = [
        ("", "link"),
        (f"#/jobs/{job['id']}", "heading"),
        (f"#/new/{job['id']}", "link"),
        ("#/compare", "button"),
        (f"#/compare?jobs={ids}", "link"),
    ]
    for address, role in pages:
        page = tab.open(address)
        expect(page.get_by_role(role, name=name).first).to_be_visible()
        tab.wait_until_still()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, address
    context.close()
    assert tab.complaints == []


def test_the_keyboard_alone_reaches_a_job(tab, finished):
    page = tab.open("")
    row = page.get_by_role("row", name=finished[0]["id"][:8])
    expect(row).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    row.get_by_role("link", name=finished[0]["name"]).focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{tab.home}#/jobs/{finished[0]['id']}")
    expect(page.get_by_role("heading", level=1)).to_have_text(finished[0]["name"])


def test_the_colours_that_were_chosen_stay(tab):
    page = tab.open("#/new")
    ground = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    button = page.get_by_role("button", name="Colour scheme")
    button.click()
    button.click()
    expect(button).to_have_text("Dark")
    page.reload()
    expect(button).to_have_text("Dark")
    assert page.evaluate(ground) != before
