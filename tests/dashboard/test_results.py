"""Results of several runs: groups of seeds in the list, and the comparison."""

import csv
import re
from statistics import mean, stdev

import pytest
from playwright.sync_api import expect
from sqlmodel import select

from jobs.database import Database
from jobs.settings import DATABASE_FILE
from jobs.tables import Job, Metric, MetricStep, new_id


def copied(service, job_id, **changes):
    """Copies the rows of a run, because another training would take longer than all tests here."""
    database = Database(f"sqlite:///{service.runs_dir / DATABASE_FILE}")
    with database.write() as session:
        job = session.exec(select(Job).where(Job.id == job_id)).one()
        changes["id"] = new_id()
        session.add(Job(**job.model_dump() | changes))
        session.flush()
        for table in (Metric, MetricStep):
            for row in session.exec(select(table).where(table.job_id == job_id)).all():
                session.add(table(**row.model_dump() | {"job_id": changes["id"]}))
    database.dispose()
    return service.job(changes["id"])


@pytest.fixture(scope="module")
def three(service, finished):
    """Two runs that differ only in their seed, and a copy with another learning rate and loss."""
    first = finished[0]
    values = {name: value * 1.25 for name, value in first["metrics"]["values"].items()}
    spec = first["spec"] | {"training": first["spec"]["training"] | {"learning_rate": 3e-5}}
    metrics = first["metrics"] | {"values": values}
    return [
        *finished,
        copied(service, first["id"], name="lower rate", spec=spec, latest_metrics=metrics),
    ]


def loss_of(job):
    return job["metrics"]["values"]["validation/loss"]


def compared(three, rest=""):
    return f"#/compare?jobs={','.join(job['id'] for job in three)}{rest}"


def test_seeds_are_one_row_with_mean_and_deviation_that_opens(tab, service, finished, tmp_path):
    for job in finished:
        service.http.patch(f"/v1/jobs/{job['id']}", json={"tags": ["seeds"]}).raise_for_status()
    page = tab.open("#/?tag=seeds&columns=validation,seed")
    expect(page.locator(".jobs tbody tr")).to_have_count(2)
    page.get_by_role("checkbox", name="Group seeds").check()
    row = page.locator(".jobs tbody tr")
    expect(row).to_have_count(1)
    losses = [loss_of(job) for job in finished]
    expect(row).to_contain_text(f"{mean(losses):.3f} ± {stdev(losses):.3f}")
    expect(row).to_contain_text("2 seeds")
    expect(row).to_contain_text("1, 2")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="CSV").click()
    waiting.value.save_as(tmp_path / "jobs.csv")
    [line] = csv.DictReader((tmp_path / "jobs.csv").read_text().splitlines())
    assert (line["jobs"], float(line["validation_mean"])) == ("2", pytest.approx(mean(losses)))
    assert float(line["validation_deviation"]) == pytest.approx(stdev(losses))
    page.get_by_role("button", name="tiny olmo2", expanded=False).press("Enter")
    page.reload()
    expect(page.locator(".jobs tbody tr")).to_have_count(3)
    expect(page.get_by_role("button", name="tiny olmo2", expanded=True)).to_be_visible()
    page.get_by_role("checkbox", name="Select all seeds of tiny olmo2").check()
    page.get_by_role("link", name="Compare", exact=True).last.click()
    expect(page.get_by_role("checkbox", name="Group seeds")).to_be_checked()
    expect(page.get_by_role("list", name="Runs").get_by_role("listitem")).to_have_count(1)


def test_the_list_shows_scores_and_seeds_as_soon_as_a_job_has_scores(tab, service, finished):
    metrics = finished[0]["metrics"]
    values = {
        name: value
        for name, value in metrics["values"].items()
        if not name.startswith("evaluation/")  # another test may have evaluated the job
    }

    def job_with(values):
        latest = metrics | {"values": values}
        return copied(service, finished[0]["id"], tags=["plain"], latest_metrics=latest)

    plain = job_with(values)
    page = tab.open("#/?tag=plain")
    heads = page.locator(".jobs thead th")
    expect(heads.filter(has_text="Speed")).to_have_count(1)
    expect(heads.filter(has_text="Seed")).to_have_count(0)
    job = job_with(values | {"evaluation/blimp": 0.625})
    expect(page.get_by_role("row", name=job["id"][:8])).to_contain_text("62.5 %")
    expect(heads.filter(has_text="blimp")).to_have_count(1)
    expect(heads.filter(has_text="Seed")).to_have_count(1)
    for each in (plain, job):
        service.http.delete(f"/v1/jobs/{each['id']}").raise_for_status()


def test_the_progress_of_a_group_is_the_mean_of_all_its_seeds(tab, service, finished, tmp_path):
    first = finished[0]
    spec = first["spec"] | {"training": first["spec"]["training"] | {"seed": 3}}
    half = {"status": "cancelled", "progress": 0.5, "tags": ["half"], "spec": spec}
    jobs = [
        copied(service, first["id"], name=f"half, seed {seed}", **half | changes)
        for seed, changes in enumerate([{}, {"status": "succeeded", "progress": 1.0}])
    ]
    page = tab.open("#/?tag=half&columns=progress&group=seeds&sort=progress")
    cell = page.get_by_role("cell", name="mean of the seeds")
    expect(cell).to_contain_text("75 %")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="CSV").click()
    waiting.value.save_as(tmp_path / "jobs.csv")
    [line] = csv.DictReader((tmp_path / "jobs.csv").read_text().splitlines())
    assert float(line["progress_mean"]) == pytest.approx(0.75)
    for job in jobs:
        service.http.delete(f"/v1/jobs/{job['id']}").raise_for_status()


def test_the_seed_of_a_fine_tuning_is_that_of_its_own_options(tab, service, finished):
    spec = finished[0]["spec"] | {"task": "finetune", "finetune": {"seed": 77}}
    changes = {"name": "tuned", "tags": ["tuned"], "spec": spec}
    job = copied(service, finished[0]["id"], **changes)
    page = tab.open("#/?tag=tuned&columns=seed")
    expect(page.get_by_role("row", name="tuned").get_by_role("cell").last).to_have_text("77")
    service.http.delete(f"/v1/jobs/{job['id']}").raise_for_status()


def test_the_service_sorts_the_list_and_csv_has_its_rows_and_columns(tab, three, tmp_path):
    page = tab.open("#/?columns=validation&status=succeeded")
    head = page.get_by_role("columnheader", name="Validation loss")
    with page.expect_request(re.compile("sort=-validation%2Floss")):
        head.get_by_role("button").click()
    with page.expect_request(re.compile("sort=validation%2Floss")):
        head.get_by_role("button").click()
    page.reload()
    expect(head).to_have_attribute("aria-sort", "ascending")
    expect(page.get_by_role("row", name="lower rate")).to_be_visible()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="CSV").click()
    waiting.value.save_as(tmp_path / "jobs.csv")
    lines = list(csv.DictReader((tmp_path / "jobs.csv").read_text().splitlines()))
    assert list(lines[0]) == ["id", "name", "created_at", "validation"]
    known = [float(line["validation"]) for line in lines if line["validation"]]
    assert known == sorted(known)
    assert {loss_of(job) for job in three} <= set(known)


def test_one_legend_isolates_a_run_in_all_charts(tab, three):
    page = tab.open(compared(three))
    legend = page.get_by_role("list", name="Runs")
    button = legend.get_by_role("button", name="lower rate", exact=True)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    page.reload()
    for _ in range(2):
        expect(button).to_have_attribute("aria-pressed", "true")
        for number, (title, shown) in enumerate([("Loss: training", 1), ("Perplexity", 1)]):
            section = page.get_by_role("region", name=title, exact=True)
            section.locator(".u-over").hover(position={"x": 80 + number, "y": 60})
            lines = section.locator(".tooltip .pair span[style]")
            expect(lines).to_have_count(shown)
            expect(lines).to_have_text("lower rate")
        dots = page.get_by_role("group", name="runs: ").get_by_role("link")
        expect(dots).to_have_count(1)
    page.get_by_role("button", name="Show all").click()
    expect(dots).to_have_count(3)
    button.focus()
    expect(page.locator(".plot a.faded")).to_have_count(2)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.locator(".plot a.faded")).to_have_count(0)


def test_differences_to_a_baseline_and_groups_are_restored_by_the_address(tab, three):
    first, second, slow = three
    page = tab.open(compared(three))
    page.get_by_label("Baseline").select_option(first["id"][:8])
    results = page.get_by_role("table", name="Results")
    specs = page.get_by_role("table", name="Specs")
    difference = loss_of(slow) - loss_of(first)
    expect(results.get_by_role("row", name="lower rate")).to_contain_text(f"+{difference:.3f}")
    expect(specs.locator("b")).to_have_text(["0.00003", "2"])
    page.get_by_role("checkbox", name="Group seeds").check()
    page.reload()
    group = results.get_by_role("row", name="tiny olmo2, 2 seeds")
    losses = [loss_of(job) for job in (first, second)]
    expect(group).to_contain_text(f"{mean(losses):.3f} ± {stdev(losses):.3f}")
    expect(group).to_contain_text("baseline")
    difference = loss_of(slow) - mean(losses)
    expect(results.get_by_role("row", name="lower rate")).to_contain_text(f"+{difference:.3f}")
    expect(page.get_by_role("list", name="Runs").get_by_role("listitem")).to_have_count(2)


def test_a_scatter_plot_and_parallel_coordinates_show_the_chosen_values(tab, three):
    page = tab.open(compared(three))
    page.get_by_role("combobox", name="Up", exact=True).select_option("Perplexity")
    page.get_by_role("combobox", name="Across", exact=True).select_option("Peak learning rate")
    plot = page.get_by_role("region", name="Perplexity over peak learning rate")
    page.get_by_label("Log scale across").uncheck()
    page.get_by_role("button", name="Axes").click()
    for name in ("Seed", "Training loss"):
        page.locator(".menu-list").get_by_label(name, exact=True).set_checked(name != "Seed")
    page.reload()
    expect(page.get_by_label("Log scale across")).not_to_be_checked()
    dot = plot.get_by_role("link", name="lower rate: Peak learning rate 3.0e-5, Perplexity")
    dot.focus()
    expect(plot.locator(".tooltip")).to_contain_text("3.0e-5")
    lines = page.get_by_role("img", name="3 runs by")
    expect(lines).to_have_accessible_name(re.compile("Training loss"))
    expect(lines).not_to_have_accessible_name(re.compile("Seed"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("lower rate")
