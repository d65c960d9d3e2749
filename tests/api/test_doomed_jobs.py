"""Jobs that no machine, or no live worker, can run."""

import pytest

from tests.api.conftest import SPEC

HUGE = {"architecture": "olmo2", "hidden_size": 16_384, "num_hidden_layers": 200}
CPU = [{"index": 0, "kind": "cpu", "name": "cpu", "memory_bytes": 1 << 34}]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"model": HUGE}, "no machine has more"),
        ({"training": SPEC["training"] | {"device": "cpu", "precision": "fp16"}}, "fp16"),
    ],
)
def test_a_spec_that_no_machine_can_run_is_refused(client, changed, named):
    answer = client.post("/v1/jobs", json=SPEC | changed)
    assert answer.status_code == 422
    assert answer.json()["code"] == "spec_invalid"
    assert named in answer.json()["detail"]
    assert client.get("/v1/jobs").json()["data"] == []
    warnings = client.post("/v1/jobs/estimate", json=SPEC | changed).json()["warnings"]
    assert any("would be refused" in warning and named in warning for warning in warnings)


@pytest.mark.parametrize("field", [{"device": "cuda"}, {"precision": "fp16"}])
def test_a_job_that_no_live_worker_can_run_gives_the_reason_why_it_waits(client, world, field):
    world.worker("train", devices=CPU)
    body = SPEC | {"training": SPEC["training"] | field}
    job = client.post("/v1/jobs", json=body).json()
    assert job["waiting_for"]["what"] == "a worker"
    assert "GPU" in job["waiting_for"]["detail"]
    warnings = client.post("/v1/jobs/estimate", json=body).json()["warnings"]
    assert any("would wait" in warning and "GPU" in warning for warning in warnings)


def test_a_job_that_a_live_worker_can_run_has_no_such_warning(client, world):
    for _ in range(2):  # at first no worker is live, so no device is known
        warnings = client.post("/v1/jobs/estimate", json=SPEC).json()["warnings"]
        assert not any("would" in warning for warning in warnings)
        world.worker("train", devices=CPU)
