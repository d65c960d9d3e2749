"""The guided start, evaluation files, alerts, and the submission of a job."""

import re
import shutil

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import AXE, TORCH_MILLISECONDS
from tests.official_files import write_official_files
from tests.system.service import tiny_spec

SERIOUS = ("serious", "critical")


def violations(page):
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run().then((result) => result.violations)")
    return [one["id"] for one in found if one["impact"] in SERIOUS]


def test_a_text_and_a_card_start_a_job_by_keyboard(tab, service):
    page = tab.open("#/start?text=sample")
    models = page.get_by_role("group", name="Models", exact=True)
    card = models.get_by_role("button", name=re.compile("best-cpu"))
    spec = {
        "preset": "best-cpu",
        "data": {"dataset": "sample", "validation": "sample_dev"},
    }
    answer = service.http.post("/v1/jobs/estimate", json=spec).json()
    expect(card).to_contain_text(f"OLMo 2, {answer['parameter_count'] / 1e6:.1f}M parameters")
    expect(card).to_contain_text(re.compile(r"about .+ on (your CPU|two CPU cores)"))
    card.focus()
    page.keyboard.press("Enter")
    expect(card).to_have_attribute("aria-pressed", "true")
    expect(page).to_have_url(re.compile("text=sample&preset=best-cpu"))
    page.reload()  # the address contains both choices
    expect(card).to_have_attribute("aria-pressed", "true")
    start = page.get_by_role("button", name="Start training")
    expect(start).to_be_enabled()
    start.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("sample")
    job = service.http.get("/v1/jobs").json()["data"][0]
    service.http.post(f"/v1/jobs/{job['id']}/cancel")
    assert (job["spec"]["preset"], job["spec"]["data"]["dataset"]) == ("best-cpu", "sample")


def test_an_uploaded_text_is_chosen_and_the_form_has_the_same_choices(tab, service, tmp_path):
    (tmp_path / "notes.txt").write_text("The dog runs to the house.\n" * 400)
    page = tab.open("#/start")
    way = page.get_by_role("region", name="Your own text")
    page.locator("details", has_text="Add text").evaluate("node => { node.open = true }")
    way.get_by_label("Name").fill("first-run")
    way.get_by_label("Files to upload").set_input_files(tmp_path / "notes.txt")
    text = page.get_by_role("group", name="Text to train on").get_by_role(
        "button", name=re.compile("^first-run")
    )
    expect(text).to_have_attribute("aria-pressed", "true")
    page.get_by_role("link", name="Every option").click()
    dataset = page.get_by_role("region", name="Text", exact=True).get_by_label("Dataset")
    expect(dataset).to_have_value('"first-run"')
    # Code in the descriptions of the options is between backticks, which the hints do not show.
    hint = page.locator("#field-training-early_stopping_patience-hint")
    expect(hint.locator("code", has_text=re.compile("^last$"))).to_have_count(1)
    expect(page.locator(".hint", has_text="`")).to_have_count(0)
    page.goto("about:blank")
    service.http.delete("/v1/datasets/first-run").raise_for_status()


def test_an_estimate_omits_validation_if_the_default_validation_text_is_missing(tab, service):
    path = "/v1/datasets/train_10M"
    text = b"The dog runs to the house.\n" * 400
    service.http.post(f"{path}/files?name=text.txt", content=text).raise_for_status()
    listed = service.http.get("/v1/datasets").json()["data"]
    only = {"data": [each for each in listed if each["name"] == "train_10M"]}
    page = tab.page
    page.route(re.compile(r"/v1/datasets$"), lambda route: route.fulfill(json=only))

    def is_of_the_job(sent):
        if not sent.url.endswith("/v1/jobs/estimate"):  # the estimates of the cards have a query
            return False
        return sent.post_data_json["preset"] == "gemma2-10m"

    with page.expect_request(is_of_the_job) as estimate:
        tab.open("#/start?preset=gemma2-10m&text=train_10M")
    assert estimate.value.post_data_json["data"] == {"validation": None}
    page.goto("about:blank")
    service.http.delete(path).raise_for_status()


def test_official_files_are_added_and_the_others_are_named(tab, service, tmp_path):
    folder = next(
        each for each in write_official_files(tmp_path, items=4) if each.name == "blimp_filtered"
    )
    page = tab.open("#/evaluations")
    table = page.get_by_role("table", name="Official tasks")
    row = table.get_by_role("row", name=re.compile("^BLiMP, fast"))
    expect(row).to_contain_text("missing")
    expect(row).to_contain_text("evaluation_data/fast_eval/blimp_fast")
    expect(page.get_by_role("table", name="Other tasks")).to_contain_text("minimal_pairs")
    row.get_by_role("button").press("Enter")
    task = page.get_by_label("Task", exact=True)
    expect(task).to_be_focused()
    expect(task).to_have_value("blimp_fast")
    task.fill("another")
    page.reload()  # the address contains the name
    expect(task).to_have_value("another")
    row.get_by_role("button").press("Enter")
    expect(task).to_have_value("blimp_fast")
    (tmp_path / "broken.jsonl").write_text('{"sentence_good": 1}\n')
    tab.may_complain = True  # the browser logs the refusal
    page.get_by_label("Files to upload").set_input_files(tmp_path / "broken.jsonl")
    expect(page.get_by_role("alert")).to_contain_text("broken.jsonl, line 1")
    tab.may_complain = False
    files = sorted(folder.iterdir())
    page.get_by_label("Files to upload").set_input_files(files)
    expect(row).to_contain_text(f"{len(files)} files")  # only after the last upload
    expect(row).not_to_contain_text("missing")
    page.goto("about:blank")
    shutil.rmtree(service.runs_dir.parent / "data" / "evaluations" / "blimp_fast")


@pytest.fixture
def failed(service, running):
    """A job that failed because its text was removed while it waited for the running job."""
    path = "/v1/datasets/one_line/files?name=text.txt"
    service.http.post(path, content=b"The dog sleeps.\n").raise_for_status()
    data = {"dataset": "one_line", "validation": None}
    job = service.submit(tiny_spec(max_steps=6) | {"data": data, "name": "without text"})
    shutil.rmtree(service.runs_dir.parent / "data" / "one_line")
    service.http.post(f"/v1/jobs/{running['id']}/cancel").raise_for_status()
    return service.wait(job["id"])


def test_alerts_of_all_jobs_lead_to_their_place(tab, failed):
    assert failed["status"] == "failed"
    page = tab.open("#/corpora")
    button = page.locator("#alerts")
    expect(button).to_have_attribute("aria-label", re.compile(r"Alerts, \d+ unread"))
    button.press("Enter")
    drawer = page.get_by_role("dialog", name="Alerts")
    alert = drawer.get_by_role("link", name=re.compile("without text"))
    expect(alert).to_contain_text("Failed")
    expect(button).to_have_attribute("aria-label", "Alerts")
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(page).to_have_url(re.compile("#/corpora$"))  # changes only after the drawer is hidden
    page.goto(page.url.split("?")[0] + "?drawer=alerts")  # a link restores the drawer
    expect(drawer).to_be_visible()
    alert.press("Enter")
    expect(drawer).to_be_hidden()
    expect(page.get_by_role("heading", level=1)).to_have_text("without text")
    wanted = page.locator(".notice.wanted")
    expect(wanted).to_contain_text(failed["error"]["message"], ignore_case=True)
    expect(wanted).to_be_in_viewport()


def test_a_failed_job_leads_to_its_missing_text_and_back(tab, service, failed, tmp_path):
    (tmp_path / "text.txt").write_text("The dog sleeps.\n")
    page = tab.open(f"#/jobs/{failed['id']}")
    page.get_by_role("link", name="Add the text “one_line”").click()
    expect(page.get_by_label("Name")).to_have_value("one_line")
    page.get_by_label("Files to upload").set_input_files(tmp_path / "text.txt")
    expect(page.get_by_role("heading", level=1)).to_have_text("without text")
    page.get_by_role("button", name="Retry").click()
    service.wait(failed["id"], until={"succeeded"})
    expect(page.get_by_role("button", name="Download model")).to_be_visible()
    page = tab.open("#/corpora/one_line")
    page.get_by_role("link", name="Jobs on this text").click()
    expect(page.get_by_role("row", name=failed["id"][:8])).to_be_visible()
    service.http.delete("/v1/datasets/one_line").raise_for_status()


def test_a_submission_is_built_and_says_what_is_missing(tab, service):
    spec = tiny_spec(max_steps=6, epochs=10, eval_steps=6, save_steps=6)
    job = service.submit(spec | {"track": "strict-small", "name": "entry"})
    service.wait(job["id"])
    page = tab.open(f"#/jobs/{job['id']}?section=submission")
    card = page.get_by_role("region", name="Submission to the BabyLM challenge")
    rules = card.get_by_role("list", name="Rules of the track strict-small")
    expect(rules).to_contain_text("10 epochs; 10 are allowed")
    card.get_by_label("Name on the Hugging Face Hub").fill("no slash")
    tab.may_complain = True  # the browser logs the refusal
    card.get_by_role("button", name="Build submission").click()
    expect(card.get_by_role("alert")).to_contain_text("repository")
    tab.may_complain = False
    card.get_by_label("Name on the Hugging Face Hub").fill("user/small")
    card.get_by_label("Run the missing evaluations first").uncheck()
    card.get_by_role("button", name="Build submission").click()
    save = card.get_by_role("button", name="Download submission")
    expect(save).to_be_visible(timeout=TORCH_MILLISECONDS)
    expect(card).to_contain_text("0 of 19 milestones and the final model are checked")
    missing = card.get_by_role("table", name="Missing predictions")
    expect(missing.get_by_role("row", name=re.compile("boolq"))).to_contain_text("last")
    assert violations(page) == []
    page.reload()  # the newest submission is still there
    with page.expect_download() as download:
        save.click()
    assert download.value.suggested_filename.endswith(".tar")
