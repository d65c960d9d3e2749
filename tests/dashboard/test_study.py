"""A study in the browser: created from a job and from the form, compared, and deleted."""

import csv
import re

from playwright.sync_api import expect

NUMBER = re.compile(r"\d\.\d{4} ± \d\.\d{4}")


def test_a_job_is_repeated_with_seeds_and_the_study_is_compared_and_deleted(
    tab, finished, service, tmp_path
):
    page = tab.open(f"#/jobs/{finished[0]['id']}")
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("button", name="Repeat with N seeds").click()
    page.get_by_label("Number of seeds").fill("2")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page).to_have_url(re.compile("#/studies/[0-9a-f]{32}$"))
    jobs = page.get_by_role("region", name="Jobs of the study")
    expect(jobs.locator("tbody tr")).to_have_count(2)
    study = page.url.rpartition("/")[2]
    # The two runs can take longer than the deadline of an expectation.
    for member in service.http.get(f"/v1/studies/{study}").json()["members"]:
        service.wait(member["job"])
    expect(jobs.locator(".status.succeeded")).to_have_count(2)
    table = page.get_by_role("region", name="Conditions by validation/loss")
    expect(table).to_contain_text(NUMBER)
    expect(table).to_contain_text("baseline")
    _expect_recovery_from_a_failed_request(tab, page)
    expect(table).to_contain_text("baseline")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="CSV").click()
    waiting.value.save_as(tmp_path / "study.csv")
    with (tmp_path / "study.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["seed"] for line in lines] == ["1", "2"]  # the first seed is that of the job
    loss = finished[0]["metrics"]["values"]["validation/loss"]
    assert float(lines[0]["validation/loss"]) == loss  # the same spec and seed
    page.goto(f"{tab.home}#/")
    page.get_by_role("row", name=lines[0]["job"][:8]).get_by_role("link", name="study").click()
    expect(page).to_have_url(re.compile(study))
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page).to_have_url(re.compile("#/$"))
    assert service.http.get(f"/v1/studies/{study}").status_code == 404

    page.goto(f"{tab.home}#/new/{finished[0]['id']}")
    page.get_by_label("Repeat with seeds").fill("3")
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("region", name="Jobs of the study").locator("tbody tr")).to_have_count(
        3
    )
    page.get_by_role("button", name="Cancel all").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel all")).to_have_count(0)


def _expect_recovery_from_a_failed_request(tab, page):
    tab.may_complain = True  # the browser logs the answer
    problem = {"title": "Service Unavailable", "status": 503, "detail": "busy"}
    # Fails every request: any answer of the service, such as the alerts, would hide the banner.
    path = "**/v1/**"
    page.route(path, lambda route: route.fulfill(status=503, json=problem))
    banner = page.get_by_text("The service does not respond")
    expect(banner).to_be_visible()
    page.unroute(path)
    expect(banner).to_be_hidden()
    tab.wait_until_still()  # the browser has logged all answers
    tab.may_complain = False
