"""A service with an API key, in its own process because the key applies to all requests."""

import hashlib
import io
import zipfile

import pytest
from playwright.sync_api import expect

from core.sample import write_sample
from tests.dashboard.conftest import Tab, points
from tests.dashboard.settling import settle, wait_in_page
from tests.system.service import running_service, tiny_spec

KEY = "the-right-key-of-the-test"


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("locked")
    write_sample(folder / "data", target_bytes=60_000)
    with running_service(folder, BABYLM_API_KEY=KEY) as running:
        yield running


@pytest.fixture
def tab(locked, browser):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    opened = Tab(locked, context.new_page())
    opened.may_complain = True  # the browser logs each answer of 401 until it has a key
    yield opened
    context.close()
    assert opened.complaints == []


def dialog(page):
    return page.get_by_role("dialog", name="This service requires an API key")


def give_key(tab, key=KEY):
    # Waits for all requests without the key. The browser logs their refusals, and after `opened`
    # a test permits no logged error.
    expect(dialog(tab.page)).to_be_visible()
    wait_in_page(tab.page, lambda: not tab.unanswered, "the answers to all requests")
    dialog(tab.page).get_by_label("Key").fill(key)
    tab.page.keyboard.press("Enter")


def opened(tab, address):
    """A page with the key; from here on no error may be logged."""
    page = tab.open(address)
    give_key(tab)
    expect(dialog(page)).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    tab.may_complain = False
    return page


def test_a_wrong_key_is_refused_in_words_and_the_right_one_holds_for_the_tab(tab):
    page = tab.open("")
    expect(dialog(page)).to_be_visible()
    expect(dialog(page).get_by_role("alert")).to_have_count(0)
    give_key(tab, "not-the-key")
    expect(dialog(page).get_by_role("alert")).to_contain_text("does not accept this key")
    give_key(tab)
    expect(page.get_by_role("link", name="Train the first model")).to_be_visible()
    tab.may_complain = False
    page.reload()
    expect(page.get_by_role("link", name="Train the first model")).to_be_visible()
    for name, data in [
        ("New job", "Start from"),
        ("Corpora", "sample_dev"),
        ("System", "worker: ok"),
    ]:
        page.get_by_role("navigation").get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        expect(page.locator("main")).to_contain_text(data)
        expect(dialog(page)).to_have_count(0)
    assert page.evaluate("JSON.stringify([localStorage, document.cookie])").find(KEY) < 0
    other = tab.page.context.new_page()
    other.goto(tab.home)
    expect(dialog(other)).to_be_visible()


def test_without_a_key_the_page_says_so_and_retries_only_on_request(tab):
    page = tab.open("#/system")
    dialog(page).get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("API key required")
    expect(dialog(page)).to_have_count(0)
    page.get_by_role("button", name="Try again").click()
    give_key(tab)
    expect(page.get_by_role("heading", level=1)).to_have_text("System")
    expect(page.get_by_text("worker: ok")).to_be_visible()


def test_a_refusal_that_arrives_after_cancel_does_not_ask_again(tab):
    late = []
    tab.page.route("**/v1/system", lambda route: route.continue_() if late else late.append(route))
    page = tab.open("#/system")
    wait_in_page(page, lambda: late, "the second request")
    dialog(page).get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("API key required")
    with page.expect_event("requestfinished", lambda one: one == late[0].request):
        late[0].continue_()
    settle(page)
    assert dialog(page).count() == 0
    page.get_by_role("button", name="Try again").click()
    give_key(tab)
    expect(page.get_by_role("heading", level=1)).to_have_text("System")


def test_with_a_key_a_run_is_followed_and_its_checkpoint_comes(tab, locked):
    job = locked.submit(tiny_spec(max_steps=20_000, eval_steps=200, save_steps=200))
    locked.wait_for_step(job["id"], 2)
    page = opened(tab, f"#/jobs/{job['id']}")
    expect(page.get_by_role("log")).to_contain_text("stage train")
    wait_in_page(page, lambda: points(page) >= 2, "a curve")
    before = points(page)
    wait_in_page(page, lambda: points(page) > before, "growth of the curve")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.locator(".page-head .status")).to_have_text("cancelled")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").first.click()
    name = download.value.suggested_filename.removesuffix(".zip").partition("-")[2]
    with zipfile.ZipFile(io.BytesIO(download.value.path().read_bytes())) as archive:
        weights = next(n for n in archive.namelist() if n.endswith("model.safetensors"))
        digest = hashlib.sha256(archive.read(weights)).hexdigest()
    assert digest == locked.checkpoint_hash(job["id"], name)
    page.get_by_text("Files and checksums").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="spec.json").first.click()
    assert b"hidden_size" in download.value.path().read_bytes()


def test_with_a_key_a_corpus_is_sent_and_the_commands_carry_one(tab, locked, tmp_path):
    (tmp_path / "notes.txt").write_text("The dog runs to the house.\n" * 400)
    page = opened(tab, "#/corpora")
    page.get_by_label("Name").fill("behind-a-key")
    page.get_by_label("Files to upload").set_input_files(tmp_path / "notes.txt")
    expect(page.get_by_role("heading", level=1, name="behind-a-key")).to_be_visible()
    assert locked.http.get("/v1/datasets/behind-a-key").json()["words"] == 2400
    page.get_by_role("navigation").get_by_role("link", name="New job").click()
    page.get_by_role("button", name="curl", exact=True).click()
    code = page.get_by_label("The spec")
    expect(code).to_contain_text('-H "Authorization: Bearer $BABYLM_API_KEY"')
    expect(code).not_to_contain_text(KEY)
