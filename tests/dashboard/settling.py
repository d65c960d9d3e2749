"""Waiting for the page and for the requests that a test holds."""

from tests.waiting import wait_for


def settle(page):
    """Waits until the page has handled the answers that arrived before."""
    page.evaluate("fetch('/healthz').then((answer) => answer.text())")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def wait_in_page(page, condition, what):
    """Waits for a condition, while Playwright handles the requests of the page."""
    wait_for(lambda: condition() or page.wait_for_timeout(20), what=what)
