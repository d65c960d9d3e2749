"""Labels of jobs, and the refusal of unknown query parameters."""

import pytest

from tests.api.routes import filled, routes


def test_labels_are_changed_one_by_one_and_kept(client, world):
    job_id = world.job(name="before")
    path = f"/v1/jobs/{job_id}"
    first = client.get(path).json()
    labels = (first["tags"], first["notes"], first["archived"], first["pinned"])
    assert labels == ([], "", False, False)
    changed = client.patch(path, json={"name": "after", "tags": ["a.b", "c"], "pinned": True})
    assert changed.status_code == 200
    client.patch(path, json={"notes": "best so far"}).raise_for_status()
    job = client.get(path).json()
    assert (job["name"], job["tags"], job["notes"]) == ("after", ["a.b", "c"], "best so far")
    assert (job["archived"], job["pinned"]) == (False, True)
    assert job["spec"] == first["spec"]  # the submitted spec stays as it was
    assert job["status"] == "queued"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tags": ["with space"]}, "tags.0"),
        ({"tags": ["x" * 41]}, "tags.0"),
        ({"tags": "a"}, "tags"),
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"archived": "yes"}, "archived"),
        ({"status": "succeeded"}, "status"),
    ],
)
def test_labels_that_are_no_labels_are_refused(client, world, body, field):
    job_id = world.job()
    answer = client.patch(f"/v1/jobs/{job_id}", json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_jobs_are_listed_by_label(client, world):
    tagged, both, plain = (world.job(name=name) for name in ("one", "two", "three"))
    client.patch(f"/v1/jobs/{tagged}", json={"tags": ["a_b"]}).raise_for_status()
    client.patch(f"/v1/jobs/{both}", json={"tags": ["a_b", "c"], "archived": True})
    client.patch(f"/v1/jobs/{plain}", json={"tags": ["axb"], "pinned": True})

    def found(query):
        data = client.get(f"/v1/jobs?{query}").json()["data"]
        return {job["id"] for job in data}

    assert found("tag=a_b") == {tagged, both}  # wildcards of SQL are ordinary characters
    assert found("tag=a_b&tag=c") == {both}
    assert found("tag=a") == set()
    assert found("archived=true") == {both}
    assert found("archived=false&tag=a_b") == {tagged}
    assert found("pinned=true") == {plain}
    assert found("") == {tagged, both, plain}


def test_an_unknown_parameter_is_refused_with_the_one_that_it_is_most_like(client):
    answer = client.get("/v1/jobs?stauts=running&limit=5")
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["field"] == "stauts"
    assert "did you mean status?" in error["message"]
    assert error["given"] == '"running"'


@pytest.mark.parametrize("route", [each for each in routes() if "/v1/" in each.path], ids=str)
def test_every_call_refuses_a_parameter_that_it_does_not_know(raw, route):
    path = filled(route.path, job_id="0" * 32) + "?nonsense=1"
    body = b"{}" if route.method in ("POST", "PATCH") else b""
    answer = raw.send(route.method, path, body)
    assert answer.status == 422, answer.body
    assert "nonsense" in answer.json()["detail"]
