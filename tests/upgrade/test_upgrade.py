"""This version continues the jobs of a version 0.1 service that was killed while it worked."""

import hashlib
import tarfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.system.service import Service, running_service

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

ARCHIVE = Path(__file__).with_name("version-0.1.tar.xz")
STEPS = 1500


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("upgrade")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def finished_weights(folder) -> str:
    """SHA-256 of the weights that version 0.1 published, before this version touches them."""
    (weights,) = (folder / "runs" / "jobs").glob("*/checkpoints/last/model.safetensors")
    return hashlib.sha256(weights.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def service(folder, finished_weights):
    with running_service(folder) as running:
        yield running


@pytest.fixture(scope="module")
def jobs(service) -> dict[str, dict]:
    return {job["name"]: job for job in service.http.get("/v1/jobs").json()["data"]}


def test_every_job_is_still_there(jobs):
    assert set(jobs) == {"finished", "failed", "cancelled", "paused", "running", "queued"}
    assert jobs["finished"]["status"] == "succeeded"
    assert jobs["failed"]["error"]["code"] == "corpus_missing"
    assert jobs["cancelled"]["status"] == "cancelled"
    assert jobs["paused"]["status"] == "paused"


def test_a_finished_job_keeps_its_checkpoint_and_its_curve(service, jobs, finished_weights):
    job_id = jobs["finished"]["id"]
    assert service.checkpoint_hash(job_id) == finished_weights
    assert sorted(service.losses(job_id)) == [1, *range(100, STEPS + 1, 100)]


def test_a_running_and_a_queued_job_run_to_their_end(service, jobs):
    for name in ("running", "queued"):
        job = service.wait(jobs[name]["id"])
        assert (job["status"], job["step"]) == ("succeeded", STEPS), job


def test_a_running_job_continues_from_its_resume_point(service, jobs):
    job_id = jobs["running"]["id"]
    service.wait(job_id)
    logged = [
        event["data"]["step"]
        for event in service.events(job_id)
        if event["type"] == "metrics" and "train/loss" in event["data"]["values"]
    ]
    # Killed after step 600 was logged; the newest resume point is of step 500.
    assert logged == [1, *range(100, 601, 100), *range(600, STEPS + 1, 100)]
    assert_same_weights(service, jobs["finished"]["id"], job_id)


def test_a_paused_job_can_be_resumed(service, jobs):
    job_id = jobs["paused"]["id"]
    service.http.post(f"/v1/jobs/{job_id}/resume").raise_for_status()
    assert service.wait(job_id)["status"] == "succeeded"
    assert_same_weights(service, jobs["finished"]["id"], job_id)


@pytest.mark.long
def test_a_failed_job_can_be_retried(service, jobs, folder):
    job_id = jobs["failed"]["id"]
    (folder / "data" / "sample").rename(folder / "data" / "lost")
    service.http.post(f"/v1/jobs/{job_id}/retry").raise_for_status()
    assert service.wait(job_id)["status"] == "succeeded"


def assert_same_weights(service: Service, one: str, other: str) -> None:
    """On the machine that trained the fixture, all bits are equal; elsewhere, values are close."""
    first, second = (
        load_file(service.runs_dir / "jobs" / job / "checkpoints" / "last" / "model.safetensors")
        for job in (one, other)
    )
    for name, weights in first.items():
        torch.testing.assert_close(second[name], weights, rtol=0.0, atol=0.02)
