"""Queries of lists and comparisons: searching, counting, choosing events, thinning curves."""

import base64

import pytest

from tests.api.conftest import SPEC


def test_jobs_are_found_by_a_part_of_the_name_and_the_beginning_of_the_id(client, world):
    first, second = world.job(name="Apple 100%"), world.job(name="pear")

    def found(search):
        answer = client.get("/v1/jobs", params={"search": search}).json()
        return [job["id"] for job in answer["data"]]

    assert found("apple") == [first]
    assert found("%") == [first]  # wildcards of SQL are ordinary characters
    assert found("_") == []
    assert found(second[:10].upper()) == [second]
    assert found(second[10:]) == []


def test_a_page_counts_all_jobs_whatever_was_asked_for(client, world):
    ended = world.running()
    world.end(ended)
    for _ in range(3):
        world.job()
    answer = client.get("/v1/jobs", params={"limit": 1, "status": "queued", "search": "t"}).json()
    assert len(answer["data"]) == 1
    assert answer["counts"] == {"queued": 3, "succeeded": 1}


def test_an_unknown_status_is_refused_under_the_name_of_its_parameter(client):
    refused = client.get("/v1/jobs", params={"status": "nope"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "status"


def test_events_of_chosen_types_keep_their_numbers(client, world):
    job_id = world.running()
    for step in (1, 2):
        world.metrics(job_id, step, train__loss=5.0)
    world.end(job_id)
    chosen = client.get(f"/v1/jobs/{job_id}/events?types=status,stage").json()["data"]
    assert [(event["seq"], event["type"]) for event in chosen] == [
        (1, "status"),
        (2, "status"),
        (5, "status"),
    ]
    refused = client.get(f"/v1/jobs/{job_id}/events?types=status,nonsense")
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "types"


@pytest.fixture
def long_run(world):
    """400 steps with one peak."""
    job_id = world.running()
    for step in range(1, 401):
        world.metrics(job_id, step, train__loss=9.0 if step == 123 else 1.0)
    return job_id


def test_a_stretch_of_a_curve_is_given_in_full(client, long_run):
    path = f"/v1/jobs/{long_run}/metrics?after_step=119&before_step=131&max_points=100"
    series = client.get(path).json()["series"]["train/loss"]
    assert series["step"] == list(range(120, 131))


def test_a_quick_curve_has_points_at_equal_distances_and_its_end(client, long_run):
    path = f"/v1/jobs/{long_run}/metrics?max_points=40"
    whole = client.get(path).json()["series"]["train/loss"]
    quick = client.get(f"{path}&extremes=false").json()["series"]["train/loss"]
    assert 123 in whole["step"]
    assert len(quick["step"]) <= 40
    assert (quick["step"][0], quick["step"][-1]) == (1, 400)
    distances = {b - a for a, b in zip(quick["step"], quick["step"][1:-1], strict=False)}
    assert distances == {11}


def test_curves_of_several_jobs_come_in_one_answer(client, world, long_run):
    other = world.job()
    gone = "0" * 32
    answer = client.get(f"/v1/metrics?jobs={long_run},{other},{gone}&max_points=20").json()
    assert list(answer["jobs"]) == [long_run, other]
    curve = answer["jobs"][long_run]["series"]["train/loss"]
    assert 4 <= len(curve["step"]) <= 20
    assert answer["jobs"][other]["series"]["train/loss"]["step"] == []


def cursor_of(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


LISTINGS = ("/v1/jobs", "/v1/tokenizers", "/v1/studies")
ID = "0" * 32
CURSORS = {
    "year 1 in zone +14": cursor_of(f"0001-01-01T00:00:00+14:00 {ID}"),
    "year 9999 in zone -12": cursor_of(f"9999-12-31T23:59:59-12:00 {ID}"),
    "a zone other than UTC": cursor_of(f"2026-01-01T00:00:00+01:00 {ID}"),
    "no zone": cursor_of(f"2026-01-01T00:00:00 {ID}"),
    "a date": cursor_of(f"2026-01-01 {ID}"),
    "a NUL in the id": cursor_of("2026-01-01T00:00:00+00:00 a\0b"),
    "no id": cursor_of("2026-01-01T00:00:00+00:00 "),
    "a lone surrogate": "7aCA",
    "padding": cursor_of(f"2026-01-01T00:00:00+00:00 {ID}") + "==",
    "nothing": "",
    "no base64": "!",
}


@pytest.mark.parametrize("path", LISTINGS)
@pytest.mark.parametrize("name", CURSORS)
def test_a_cursor_that_no_page_gave_is_refused(client, world, path, name):
    world.job()
    answer = client.get(path, params={"after": CURSORS[name]})
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "cursor_invalid"


def test_each_listing_with_a_cursor_is_tested(app):
    paths = app.openapi()["paths"]
    listings = {
        path
        for path, methods in paths.items()
        for parameter in methods.get("get", {}).get("parameters", [])
        if parameter["name"] == "after" and not path.startswith("/v1/jobs/{job_id}/events")
    }
    assert listings == set(LISTINGS)


@pytest.mark.parametrize("path", LISTINGS)
def test_the_cursor_of_a_page_is_taken(client, world, path):
    for _ in range(3):
        world.job()
        if path == "/v1/studies":
            client.post(path, json=SPEC).raise_for_status()
    cursor = client.get(path, params={"limit": 2}).json()["next"]
    answer = client.get(path, params={"after": cursor, "limit": 2})
    assert (answer.status_code, answer.json()["next"]) == (200, None)


def test_a_nul_is_refused_before_it_reaches_the_database(client, world):
    job_id = world.job()
    for path, query in {
        "/v1/jobs": "search=a%00",
        "/v1/metrics": "jobs=a%00",
        f"/v1/jobs/{job_id}/metrics": "names=train/loss%00",
    }.items():
        assert client.get(f"{path}?{query}").status_code == 422
    assert client.patch(f"/v1/jobs/{job_id}", json={"notes": "a\0"}).status_code == 422
