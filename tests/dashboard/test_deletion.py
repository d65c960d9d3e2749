"""Pages during and after the deletion of what they show.

The tests hold the deletion and the reads of a page, so that the order does not depend on speed.
"""

import re

import pytest
from playwright.sync_api import expect

from jobs.states import FINAL
from tests.dashboard.settling import settle, wait_in_page
from tests.system.service import tiny_spec
from tests.waiting import wait_for


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
    """Opens a page, holds its next read of `path`, and then starts the deletion of `path`.

    The deletion reaches the service only if `status` is 204. The page gets no answer until
    `release`.
    """

    def __init__(self, page, path, address, status):
        self.page = page
        self.status = status
        self.reads, self.reads_during_deletion, self.deletion = [], [], []
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
            self.reads_during_deletion.append(route.request.url)
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
    assert held.reads_during_deletion == []


def test_a_page_continues_to_read_if_the_deletion_is_refused(tab, service):
    path, address, _ = make_corpus(service)
    tab.may_complain = True  # the browser logs the refusal
    held = HeldDeletion(tab.page, path, tab.home + address, 409)
    held.release()
    dialog = tab.page.get_by_role("dialog", name="The action failed")
    expect(dialog).to_contain_text("a job needs it")
    wait_in_page(tab.page, lambda: held.reads_during_deletion, "the next read")
    tab.page.goto("about:blank")
    service.http.delete(path).raise_for_status()


def test_a_page_that_is_opened_during_a_deletion_stays_open(tab, service):
    path, address, _ = make_corpus(service)
    page = tab.page
    held = HeldDeletion(page, path, tab.home + address, 204)
    page.get_by_role("navigation").get_by_role("link", name="System").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("System")
    with page.expect_event("requestfinished", lambda one: one.method == "DELETE"):
        held.release()
    settle(page)
    assert page.url == tab.home + "#/system"


def test_the_notification_of_a_deleted_job_is_cancelled(tab):
    tab.may_complain = True  # the browser logs the answer of 404
    page = tab.open("#/corpora")
    chosen = "sessionStorage.getItem('babylm-notify')"
    page.evaluate("sessionStorage.setItem('babylm-notify', JSON.stringify(['0'.repeat(32)]))")
    page.reload()
    wait_in_page(page, lambda: page.evaluate(chosen) == "[]", "the cancelled notification")
