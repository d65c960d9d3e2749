"""What lists and comparisons ask for: searching, counting, choosing events, thinning curves."""

import pytest


def test_jobs_are_found_by_a_part_of_the_name_and_the_beginning_of_the_id(client, world):
    first, second = world.job(name="Apple 100%"), world.job(name="pear")

    def found(search):
        answer = client.get("/v1/jobs", params={"search": search}).json()
        return [job["id"] for job in answer["data"]]

    assert found("apple") == [first]
    assert found("%") == [first]  # a sign of the query language is only a sign
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
