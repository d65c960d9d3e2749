import pytest

from core.spec.estimate import ASSUMED_FLOPS
from tests.api.conftest import SPEC

CPU = {"index": 0, "kind": "cpu", "name": "cpu", "memory_bytes": 1 << 34}


def test_a_job_is_created_once_and_found(client):
    created = client.post("/v1/jobs", json=SPEC)
    assert created.status_code == 201
    job = created.json()
    assert created.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["status"], job["name"], job["progress"]) == ("queued", "tiny", 0.0)
    assert job["waiting_for"] == {
        "what": "a worker",
        "position": 1,
        "detail": "no worker is alive",
        "slurm": None,
    }
    assert job["spec"]["model"]["num_attention_heads"] > 0
    found = client.get(created.headers["location"])
    assert found.json() == job


def test_with_a_live_worker_a_queued_job_waits_for_its_turn(client, world):
    world.job()
    second = world.job()
    world.worker("train")
    waiting = client.get(f"/v1/jobs/{second}").json()["waiting_for"]
    assert waiting == {"what": "its turn", "position": 2, "detail": None, "slurm": None}


def test_the_same_key_and_body_return_the_first_job(client):
    headers = {"Idempotency-Key": "key-1"}
    first = client.post("/v1/jobs", json=SPEC, headers=headers)
    again = client.post("/v1/jobs", json=SPEC, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    other = client.post("/v1/jobs", json=SPEC | {"name": "other"}, headers=headers)
    assert other.status_code == 409
    assert other.json()["code"] == "idempotency_conflict"
    assert len(client.get("/v1/jobs").json()["data"]) == 1


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_a_key_of_no_use_is_refused(client, key):
    answer = client.post("/v1/jobs", json=SPEC, headers={"Idempotency-Key": key})
    assert answer.status_code == 422


def test_pages_hold_every_job_once_newest_first(client, world):
    ids = [world.job() for _ in range(7)]
    seen, after, pages = [], None, 0
    while pages == 0 or after:
        query = {"limit": 3} | ({"after": after} if after else {})
        page = client.get("/v1/jobs", params=query).json()
        seen += [job["id"] for job in page["data"]]
        after, pages = page["next"], pages + 1
    assert seen == ids[::-1]
    assert pages == 3


def test_a_page_is_not_disturbed_by_a_job_that_comes_in_between(client, world):
    ids = [world.job() for _ in range(4)]
    first = client.get("/v1/jobs?limit=2").json()
    world.job()
    second = client.get("/v1/jobs", params={"limit": 2, "after": first["next"]}).json()
    assert [job["id"] for job in first["data"] + second["data"]] == ids[::-1]
    assert second["next"] is None


def test_jobs_are_filtered_by_status(client, world):
    running = world.running()
    queued = world.job()
    query = {"status": ["running", "paused"]}
    assert [job["id"] for job in client.get("/v1/jobs", params=query).json()["data"]] == [running]
    [found] = client.get("/v1/jobs?status=queued").json()["data"]
    assert found["id"] == queued
    assert client.get("/v1/jobs?status=done").status_code == 422


def test_a_queued_job_is_cancelled_at_once_and_may_be_retried(client, world):
    path = f"/v1/jobs/{world.job()}"
    cancelled = client.post(f"{path}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    retried = client.post(f"{path}/retry")
    assert (retried.status_code, retried.json()["status"]) == (202, "queued")
    assert retried.json()["cancel_requested_at"] is None


def test_cancelling_a_running_job_is_a_request(client, world):
    path = f"/v1/jobs/{world.running()}"
    asked = client.post(f"{path}/pause").json()
    assert asked["status"] == "running"
    assert asked["pause_requested_at"] is not None
    taken_back = client.post(f"{path}/resume").json()
    assert (taken_back["status"], taken_back["pause_requested_at"]) == ("running", None)
    assert client.post(f"{path}/cancel").json()["cancel_requested_at"] is not None
    refused = client.post(f"{path}/pause")
    assert refused.status_code == 409
    assert "a cancel is pending" in refused.json()["detail"]


ACTIONS = ("cancel", "pause", "resume", "retry", "delete")
REFUSED = {
    "queued": ("resume", "retry", "delete"),
    "running": ("resume", "retry", "delete"),
    "succeeded": ("cancel", "pause", "resume", "retry"),
    "failed": ("cancel", "pause", "resume"),
}


@pytest.mark.parametrize("status", REFUSED)
def test_an_invalid_transition_is_409_and_changes_nothing(client, world, status):
    job_id = world.job() if status == "queued" else world.running()
    if status in ("succeeded", "failed"):
        world.end(job_id, status)
    before = client.get(f"/v1/jobs/{job_id}").json()
    for action in REFUSED[status]:
        method, path = ("DELETE", "") if action == "delete" else ("POST", f"/{action}")
        answer = client.request(method, f"/v1/jobs/{job_id}{path}")
        assert answer.status_code == 409, (action, answer.text)
        assert answer.json()["code"] == "move_refused"
        assert status in answer.json()["detail"]
    assert client.get(f"/v1/jobs/{job_id}").json() == before


def test_deleting_a_job_deletes_its_files(client, world, settings):
    job_id = world.running()
    folder = world.checkpoint(job_id, files={"config.json": b"{}"})
    world.end(job_id)
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert not folder.exists()
    assert not settings.job_folder(job_id).exists()
    assert client.get(f"/v1/jobs/{job_id}").status_code == 404
    assert client.get(f"/v1/jobs/{job_id}/checkpoints").status_code == 404


def test_an_estimate_warns_of_what_the_official_evaluation_cannot_compute(client):
    model = {"architecture": "llama4", "attention_bias": True, "no_rope_layer_interval": 3}
    body = {"data": {"dataset": "sample", "validation": None}, "model": model}
    warnings = client.post("/v1/jobs/estimate", json=body).json()["warnings"]
    for field in model.keys() - {"architecture"}:
        assert [line for line in warnings if line.startswith(f"{field} is") and "4.51.3" in line]


def test_a_model_shorter_than_the_sequences_is_refused_at_submit(client):
    body = {"model": {"max_position_embeddings": 64}, "training": {"seq_length": 128}}
    for path in ("/v1/jobs", "/v1/jobs/estimate"):
        answer = client.post(path, json=body)
        assert answer.status_code == 422
        [fault] = answer.json()["errors"]
        assert fault["field"] == "training"
        assert "model.max_position_embeddings is 64" in fault["message"]


def test_an_estimate_stores_nothing_and_counts_the_words(client):
    answer = client.post("/v1/jobs/estimate", json=SPEC)
    assert answer.status_code == 200
    estimate = answer.json()
    assert estimate["words"] == 20 * (4 + 4)  # the speaker and the full stop are no words
    assert estimate["parameter_count"] > 0
    assert estimate["steps"] > 0
    assert client.get("/v1/jobs").json()["data"] == []


def test_an_estimate_may_assume_the_words_of_a_missing_text(client):
    missing = {"preset": "best-10m"}
    assert client.post("/v1/jobs/estimate", json=missing).json()["seconds"]["cpu"] is None
    [preset] = [
        each
        for each in client.get("/v1/presets").json()["data"]
        if each["name"] == missing["preset"]
    ]
    query = {"words": preset["words"]}
    estimate = client.post("/v1/jobs/estimate", params=query, json=missing).json()
    assert (preset["words"], estimate["words"]) == (10_000_000, 10_000_000)
    assert estimate["seconds"]["cpu"] > 0
    milestones = [each["name"] for each in estimate["milestones"]]
    assert (len(milestones), milestones[0], milestones[-1]) == (19, "chck_1M", "chck_100M")
    # The words of an existing text are counted.
    known = client.post("/v1/jobs/estimate", params=query, json=SPEC).json()
    assert (known["words"], known["milestones"]) == (20 * (4 + 4), [])


def test_an_estimate_takes_the_speed_that_a_worker_has_measured(client, world):
    before = client.post("/v1/jobs/estimate", json=SPEC).json()
    assert before["measured_devices"] == []
    for rate in (1e9, 2e9):
        world.worker("train", devices=[CPU | {"flops_per_second": rate}])
    after = client.post("/v1/jobs/estimate", json=SPEC).json()
    assert after["measured_devices"] == ["cpu"]
    ratio = after["seconds"]["cpu"] / before["seconds"]["cpu"]
    assert ratio == pytest.approx(ASSUMED_FLOPS["cpu"] / 2e9)
    assert after["seconds"]["cuda"] == before["seconds"]["cuda"]


def test_the_catalogue_lists_architectures_and_presets(client):
    names = {each["name"] for each in client.get("/v1/architectures").json()["data"]}
    assert {"gemma2", "llama4", "olmo2"} <= names
    presets = client.get("/v1/presets").json()["data"]
    for preset in presets:
        assert preset["parameter_count"] > 0
    assert {"sample", "llama4-10m", "olmo2-100m"} <= {preset["name"] for preset in presets}


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_estimate_is_no_id_of_a_job(client, method):
    answer = client.request(method, "/v1/jobs/estimate")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
