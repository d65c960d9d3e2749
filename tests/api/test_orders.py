"""The list of jobs, sorted by other values than the time of creation."""

import pytest

from jobs.orders import COLUMNS, order_names
from tests.api.conftest import SPEC
from tests.api.test_lists import ID, cursor_of

NEWER = "2026-01-01T00:00:00+00:00"


@pytest.fixture
def jobs(client, world):
    """Names of jobs by id, in the order of their creation; b has ended, and d has not begun."""
    ids = {}
    for name, seed, losses in (("b", 7, (3.5, 2.5)), ("A", 2, (2.75,)), ("c", 2, (2.5,))):
        job_id = world.running(name=name, training=SPEC["training"] | {"seed": seed})
        for step, loss in enumerate(losses, 1):
            world.metrics(job_id, step, validation__loss=loss, evaluation__pairs=1 / loss)
        ids[job_id] = name
        if name == "b":
            world.end(job_id)
    ids[world.job(name="d", training=SPEC["training"] | {"seed": 11})] = "d"
    return ids


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("created", "bAcd"),
        ("-created", "dcAb"),
        ("name", "Abcd"),
        ("-name", "dcbA"),
        ("status", "dcAb"),  # queued, running, succeeded; equal values newest first
        ("seed", "cAbd"),
        ("-seed", "dbcA"),
        ("validation/loss", "cbAd"),  # d has no value
        ("-validation/loss", "Acbd"),
        ("-evaluation/pairs", "cbAd"),
        ("finished", "bdcA"),
        ("time", "bAcd"),
        ("words_seen", "cAbd"),
        ("evaluation/nosuch", "dcAb"),
    ],
)
def test_jobs_are_sorted_over_pages_and_jobs_without_the_value_come_last(client, jobs, sort, names):
    for limit in (1, 2, 3, 4):
        found, cursor = [], None
        while True:
            given = {"sort": sort, "limit": limit} | ({"after": cursor} if cursor else {})
            page = client.get("/v1/jobs", params=given).json()
            found += [job["id"] for job in page["data"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert "".join(jobs[job_id] for job_id in found) == names


def test_an_order_is_combined_with_filters(client, jobs):
    query = "sort=-validation/loss&status=running&archived=false"
    found = client.get(f"/v1/jobs?{query}").json()["data"]
    assert [jobs[job["id"]] for job in found] == ["A", "c"]


def test_a_value_that_changes_between_two_pages_repeats_no_other_job(client, world, jobs):
    first = client.get("/v1/jobs?sort=validation/loss&limit=2").json()
    assert [jobs[job["id"]] for job in first["data"]] == ["c", "b"]
    world.metrics(first["data"][0]["id"], 9, validation__loss=9.0)
    rest = client.get("/v1/jobs", params={"sort": "validation/loss", "after": first["next"]}).json()
    assert [jobs[job["id"]] for job in rest["data"]] == ["A", "c", "d"]


@pytest.mark.parametrize("name", [*COLUMNS, "train/loss", "validation/bits_per_byte/childes"])
def test_every_value_has_an_order(client, jobs, name):
    for sort in (name, f"-{name}"):
        assert len(client.get("/v1/jobs", params={"sort": sort}).json()["data"]) == len(jobs)


@pytest.mark.parametrize("sort", ["", "-", "loss", "created_at", "evaluation/", "spec", "a/b", "'"])
def test_an_unknown_value_is_refused_with_the_list_of_all(client, sort):
    answer = client.get("/v1/jobs", params={"sort": sort})
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["field"] == "sort"
    assert f"The known values are {', '.join(order_names())}" in error["message"]


CURSORS = {
    "of another order": ("seed", f'["name","a","{NEWER}","{ID}"]'),
    "of the other direction": ("seed", f'["-seed",1.0,"{NEWER}","{ID}"]'),
    "of the default order": ("seed", f"{NEWER} {ID}"),
    "a text for a number": ("seed", f'["seed","1","{NEWER}","{ID}"]'),
    "a number that is not finite": ("seed", f'["seed",NaN,"{NEWER}","{ID}"]'),
    "a whole number": ("seed", f'["seed",{10**30},"{NEWER}","{ID}"]'),
    "a NUL": ("name", f'["name","\\u0000","{NEWER}","{ID}"]'),
    "a surrogate": ("name", f'["name","\\ud800","{NEWER}","{ID}"]'),
    "a list": ("name", f'["name",["a"],"{NEWER}","{ID}"]'),
    "no zone": ("started", f'["started","2026-01-01","{NEWER}","{ID}"]'),
    "an id that is none": ("name", f'["name","a","{NEWER}","x"]'),
    "a number as an id": ("name", f'["name","a","{NEWER}",5]'),
    "too short": ("name", '["name","a"]'),
    "deep": ("name", "[" * 1400),
    "no list": ("name", "5"),
}


@pytest.mark.parametrize("name", CURSORS)
def test_a_cursor_of_another_order_or_of_no_page_is_refused(client, jobs, name):
    sort, text = CURSORS[name]
    answer = client.get("/v1/jobs", params={"sort": sort, "after": cursor_of(text)})
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "cursor_invalid"
