"""Takes a picture of a page of the dashboard."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, TimeoutError

SETTLE_MILLISECONDS = 900
PATIENCE_MILLISECONDS = 15_000
DRAWN = """() => {
  const curves = [...document.querySelectorAll('.chart')];
  const isDrawn = (curve) => curve.dataset.points || /^Nothing/.test(curve.textContent);
  const isShown = document.querySelector('main h1, dialog[open]') !== null;
  const isLoading = document.body.innerText.includes('Loading…');
  const values = [...document.querySelectorAll('.preset .facts, .numbers dd')];
  const isPending = values.some((value) => value.textContent === '…');
  return isShown && !isLoading && !isPending && curves.every(isDrawn);
}"""


@dataclass(frozen=True)
class Picture:
    """A picture of a page: the name of its file, the address of the page, size and colour scheme.

    If `whole` is true, the picture shows the whole page, not only the part that fits into `height`.
    """

    name: str
    address: str
    width: int = 1280
    height: int = 860
    scheme: str = "light"
    whole: bool = False


def take_all(browser: Browser, home: str, pictures: Sequence[Picture], folder: Path) -> None:
    """Takes pictures of the dashboard at the address `home`, and prints their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    contexts: dict[tuple[int, int, str], BrowserContext] = {}
    for picture in pictures:
        screen = (picture.width, picture.height, picture.scheme)
        if screen not in contexts:  # shared, so that the browser loads the bundle and font once
            contexts[screen] = browser.new_context(
                viewport={"width": picture.width, "height": picture.height},
                color_scheme="dark" if picture.scheme == "dark" else "light",
            )
        target = folder / f"{picture.name}.png"
        _take(contexts[screen], home, picture, target)
        sys.stdout.write(f"{target}\n")
    for context in contexts.values():
        context.close()


def _take(context: BrowserContext, home: str, picture: Picture, target: Path) -> None:
    page = context.new_page()
    page.goto(f"{home.rstrip('/')}/{picture.address}")
    with suppress(TimeoutError):  # an incomplete picture is better than none
        page.wait_for_function(DRAWN, timeout=PATIENCE_MILLISECONDS)
    page.wait_for_timeout(SETTLE_MILLISECONDS)
    page.screenshot(path=target, full_page=picture.whole)
    page.close()
