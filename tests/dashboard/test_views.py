"""Views that the URL restores, and the functions of charts and header."""

import csv
import re

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import AXE, HeldRequests, chart
from tests.dashboard.settling import wait_in_page


def test_the_list_is_sorted_and_filtered_by_values_and_its_address_restores_it(tab, finished):
    page = tab.open("")
    names = page.locator(".jobs tbody tr")
    expect(names).not_to_have_count(0)
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("checkbox", name="Seed", exact=True).check()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Filter", exact=True).click()
    page.get_by_label("Filter by values").fill("seed > 0 and validation/loss < 100")
    expect(page).to_have_url(re.compile("where="))
    page.keyboard.press("Escape")
    head = page.get_by_role("columnheader", name="Seed")
    for order, seeds in (("descending", ["2", "1"]), ("ascending", ["1", "2"])):
        head.get_by_role("button").click()
        expect(head).to_have_attribute("aria-sort", order)
        rows = [page.get_by_role("row", name=job["id"][:8]) for job in finished]
        for row in rows:
            expect(row).to_be_visible()
        shown = page.locator(".jobs td.seed").all_inner_texts()
        wanted = [text for text in shown if text in ("1", "2")]
        assert wanted == sorted(wanted, reverse=order == "descending")
        assert set(seeds) <= set(wanted)
    page.reload()
    expect(head).to_have_attribute("aria-sort", "ascending")
    expect(page.get_by_role("button", name="Remove the filter seed > 0")).to_be_visible()


def test_a_heading_names_the_order_of_the_rows_that_are_shown(tab, finished):
    page = tab.open("#/?columns=seed")
    expect(page.get_by_role("row", name=finished[0]["id"][:8])).to_be_visible()
    held = HeldRequests(page, re.compile(r"/v1/jobs\?.*sort="))
    head = page.get_by_role("columnheader", name="Seed")
    head.get_by_role("button").click()
    expect(page).to_have_url(re.compile("sort="))
    expect(head).not_to_have_attribute("aria-sort", re.compile("."))
    wait_in_page(page, lambda: held.routes, "the request for the new order")
    held.release()
    expect(head).to_have_attribute("aria-sort", "descending")


def test_an_invalid_condition_is_explained(tab, finished):
    page = tab.open("#/?where=loss+is+low")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("is not a condition")


def test_the_selection_offers_only_what_is_possible(tab, finished):
    page = tab.open("")
    page.get_by_role("row", name=finished[0]["id"][:8]).get_by_role("checkbox").check()
    bar = page.get_by_role("region", name="Selected jobs")
    expect(bar).to_contain_text(re.compile(r"^1 selected\s*Compare\s*Delete 1\s*Archive\s*Clear$"))


def test_a_line_is_hidden_and_shown_alone(tab, finished):
    page = tab.open(f"#/jobs/{finished[0]['id']}")
    expect(chart(page)).to_have_attribute("data-points", "13")  # both lines have their points
    section = page.get_by_role("region", name="Loss", exact=True)
    training = section.get_by_role("button", name="training")
    validation = section.get_by_role("button", name="validation")
    training.click()
    expect(training).to_have_attribute("aria-pressed", "false")
    training.click()
    training.dblclick()
    expect(training).to_have_attribute("aria-pressed", "true")
    expect(validation).to_have_attribute("aria-pressed", "false")


def test_the_tooltip_shows_step_words_time_and_every_line(tab, finished):
    page = tab.open(f"#/jobs/{finished[0]['id']}")
    expect(chart(page)).to_have_attribute("data-points", "13")
    tab.wait_until_still()  # otherwise the chart can move away from the mouse
    section = page.get_by_role("region", name="Loss", exact=True)
    section.locator(".u-over").hover(position={"x": 300, "y": 60})
    tooltip = section.locator(".tooltip")
    for name in ("Step", "Words", "Time", "training", "validation"):
        expect(tooltip).to_contain_text(name)


def test_a_chart_is_saved_as_csv_svg_and_png(tab, finished):
    page = tab.open(f"#/jobs/{finished[0]['id']}")
    expect(chart(page)).to_have_attribute("data-points", "13")
    section = page.get_by_role("region", name="Loss", exact=True)
    saved = {}
    for kind in ("CSV", "SVG", "PNG"):
        section.get_by_role("button", name="Save Loss").click()
        with page.expect_download() as download:
            section.get_by_role("button", name=f"Save as {kind}").click()
        assert download.value.suggested_filename == f"loss.{kind.lower()}"
        saved[kind] = download.value.path().read_bytes()
    rows = list(csv.DictReader(saved["CSV"].decode().splitlines()))
    assert sum(row["metric"] == "train/loss" for row in rows) == 12
    assert {"step", "words_seen", "seconds", "value"} < set(rows[0])
    assert saved["SVG"].startswith(b"<svg")
    assert saved["PNG"].startswith(b"\x89PNG")


def test_a_chart_fills_the_screen_and_returns(tab, finished):
    page = tab.open(f"#/jobs/{finished[0]['id']}")
    section = page.get_by_role("region", name="Loss", exact=True)
    expect(chart(page)).to_have_attribute("data-points", "13")
    section.get_by_role("button", name="Loss in full screen").click()
    expect(section).to_have_class(re.compile("full"))
    chart(page).focus()
    page.keyboard.press("Escape")
    expect(section).not_to_have_class(re.compile("full"))


def test_a_result_offers_the_model_first_and_deletion_last(tab, finished):
    page = tab.open(f"#/jobs/{finished[0]['id']}")
    actions = page.locator(".page-head .actions")
    expect(actions.get_by_role("button").first).to_have_text("Download model")
    expect(page.get_by_role("button", name="Delete")).to_have_count(0)
    actions.get_by_role("button", name="Evaluate").click()
    expect(page).to_have_url(f"{tab.home}#/jobs/{finished[0]['id']}?section=evaluation")
    expect(page.get_by_role("region", name="Evaluation", exact=True)).to_be_in_viewport()


def test_a_job_that_was_cancelled_while_queued_says_so(tab, service, running):
    job = service.submit({"preset": "sample", "name": "never began"})
    service.http.post(f"/v1/jobs/{job['id']}/cancel")
    page = tab.open(f"#/jobs/{job['id']}")
    expect(page.get_by_text("Stopped before the first step.")).to_be_visible()
    expect(page.locator("main")).not_to_contain_text("appear here")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_cancelled_job_and_an_open_menu_have_no_serious_fault(tab, service, scheme):
    broken = service.submit({"preset": "sample", "name": "fails", "data": {"dataset": "sample"}})
    service.http.post(f"/v1/jobs/{broken['id']}/cancel")
    page = tab.open(f"#/jobs/{broken['id']}")
    page.emulate_media(color_scheme=scheme)
    page.get_by_role("button", name="More actions").click()
    expect(page.get_by_role("link", name="New job like this").first).to_be_visible()
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run().then((result) => result.violations)")
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def test_an_architecture_keeps_the_sizes_of_the_preset(tab, service):
    page = tab.open("#/new")
    page.get_by_role("button", name="Gemma 2", exact=True).click()
    expect(page.get_by_text("The preset “sample” is for")).to_be_visible()
    model = page.get_by_role("region", name="Model")
    expect(model.get_by_label("Hidden size")).to_have_value("96")
    spec = {"preset": "sample", "model": {"hidden_size": 96, "architecture": "gemma2"}}
    spec["model"] |= {"num_hidden_layers": 3, "num_attention_heads": 4, "head_dim": 24}
    spec["model"] |= {"num_key_value_heads": 4, "intermediate_size": 384}
    spec["model"] |= {"max_position_embeddings": 64, "tie_word_embeddings": True}
    answer = service.http.post("/v1/jobs/estimate", json=spec).json()
    needs = page.get_by_role("region", name="What it will need")
    expect(needs.get_by_title(f"{answer['parameter_count']:,}")).to_be_visible()


def test_a_file_that_is_refused_for_its_name_offers_no_second_try(tab, tmp_path):
    (tmp_path / "notes.docx").write_text("The dog runs.")
    page = tab.open("#/corpora")
    page.get_by_label("Name").fill("refused")
    tab.may_complain = True  # the browser notes the refusal
    page.get_by_label("Files to upload").set_input_files(tmp_path / "notes.docx")
    expect(page.get_by_role("alert")).to_contain_text(".txt")
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)


def test_a_job_is_renamed_tagged_and_archived(tab, service):
    job = service.submit({"preset": "sample", "name": "to be renamed"})
    service.http.post(f"/v1/jobs/{job['id']}/cancel")
    page = tab.open(f"#/jobs/{job['id']}")
    for action, label, text in (("Rename", "Name", "renamed"), ("Tags", "Tags", "first second")):
        page.get_by_role("button", name="More actions").click()
        page.get_by_role("button", name=action, exact=True).click()
        page.get_by_role("dialog").get_by_label(label).fill(text)
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_have_text("renamed")
    page.get_by_role("link", name="second", exact=True).click()
    expect(page).to_have_url(tab.home + "#/?tag=second")
    row = page.get_by_role("row", name=job["id"][:8])
    row.get_by_role("checkbox").check()
    page.get_by_role("button", name="Archive", exact=True).click()
    expect(page.get_by_text("No matching job")).to_be_visible()
    assert service.job(job["id"])["archived"] is True
    page.get_by_role("button", name="Filter", exact=True).click()
    page.get_by_label("Archived jobs").check()
    expect(row).to_be_visible()
