"""The API page sends calls with the key, and its Content-Security-Policy allows them."""

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import Tab
from tests.system.service import running_service

KEY = "the-right-key-of-this-service"


@pytest.fixture
def tab(tmp_path, browser):
    with running_service(tmp_path, BABYLM_API_KEY=KEY) as running:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        opened = Tab(running, context.new_page())
        opened.may_complain = True  # the first answer is a 401
        yield opened
        context.close()
        assert opened.complaints == []


def test_a_call_is_sent_from_the_page_with_the_key_that_was_entered(tab):
    page = tab.page
    blocked = []
    page.on("console", lambda each: blocked.append(each.text) if "Content" in each.text else None)
    page.goto(tab.home + "docs")
    field = page.get_by_label("This service requires an API key")
    field.fill("not-the-key")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The service does not accept this key.")
    field.fill(KEY)
    page.keyboard.press("Enter")
    call = page.locator("#operations-catalogue-architectures_v1_architectures_get")
    call.locator(".opblock-summary").click()
    call.get_by_role("button", name="Try it out").click()
    call.get_by_role("button", name="Execute").click()
    expect(call.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
    expect(call.locator(".live-responses-table")).to_contain_text("olmo2")
    assert blocked == []
