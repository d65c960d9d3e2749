"""A job through every real part: HTTP, database, broker, Celery, training, download."""

import hashlib
import io
import json
import math
import shutil
import signal
import zipfile

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.archs import ARCHITECTURES
from core.sample import write_sample
from tests.long import others_long
from tests.system.service import running_service, tiny_spec
from tests.waiting import wait_for

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    write_sample(folder / "data", target_bytes=150_000)
    with running_service(folder) as running:
        yield running


@pytest.fixture(scope="module")
def undisturbed(service):
    """An undisturbed finished job of each architecture."""
    jobs = {name: service.submit(tiny_spec(name)) for name in ARCHITECTURES}
    return {name: service.wait(job["id"]) for name, job in jobs.items()}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_job_ends_with_a_checkpoint_that_transformers_loads(
    service, undisturbed, architecture, tmp_path
):
    job = undisturbed[architecture]
    assert job["status"] == "succeeded", job
    assert job["progress"] == 1.0
    losses = service.losses(job["id"])
    assert sorted(losses) == list(range(1, 31))
    archive = service.http.get(f"/v1/jobs/{job['id']}/checkpoints/last/archive")
    assert int(archive.headers["content-length"]) == len(archive.content)
    zipfile.ZipFile(io.BytesIO(archive.content)).extractall(tmp_path)
    folder = next(tmp_path.rglob("config.json")).parent
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert abs(losses[1] - math.log(len(tokenizer))) < 0.1
    with torch.no_grad():
        logits = model(**tokenizer("The dog runs.", return_tensors="pt")).logits
    assert logits.shape[-1] == len(tokenizer)
    assert losses[30] < losses[1] - 0.5


def test_events_have_no_gap_and_the_stream_replays_them(service, undisturbed):
    job_id = undisturbed["olmo2"]["id"]
    events = service.events(job_id)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "status"
    assert events[-1]["data"]["status"] == "succeeded"
    streamed = []
    middle = str(len(events) // 2)
    with service.http.stream(
        "GET", f"/v1/jobs/{job_id}/events/stream", headers={"Last-Event-ID": middle}
    ) as answer:
        for line in answer.iter_lines():
            if line.startswith("data:"):
                streamed.append(json.loads(line[5:]))
    assert streamed == events[int(middle) :]


def test_metrics_logs_and_files_of_a_finished_job(service, undisturbed):
    job_id = undisturbed["olmo2"]["id"]
    metrics = service.http.get(
        f"/v1/jobs/{job_id}/metrics", params={"names": "train/loss,validation/loss"}
    ).json()
    assert set(metrics["series"]) == {"train/loss", "validation/loss"}
    validation = metrics["series"]["validation/loss"]["value"]
    assert validation == sorted(validation, reverse=True)
    log = service.http.get(f"/v1/jobs/{job_id}/logs").text
    assert "stage train" in log
    checkpoints = service.http.get(f"/v1/jobs/{job_id}/checkpoints").json()["data"]
    last = next(checkpoint for checkpoint in checkpoints if checkpoint["name"] == "last")
    for file in last["files"]:
        path = f"/v1/jobs/{job_id}/checkpoints/last/files/{file['path']}"
        content = service.http.get(path).content
        assert len(content) == file["size"]
        assert hashlib.sha256(content).hexdigest() == file["sha256"]


@pytest.mark.parametrize("architecture", others_long(ARCHITECTURES))
def test_a_killed_run_continues_and_ends_with_the_same_weights(service, undisturbed, architecture):
    job_id = service.submit(tiny_spec(architecture))["id"]
    service.wait_for_step(job_id, 13)
    service.child(job_id).send_signal(signal.SIGKILL)
    job = service.wait(job_id)
    assert job["status"] == "succeeded", job
    assert job["attempt"] == 2
    golden = undisturbed[architecture]["id"]
    assert service.losses(job_id) == service.losses(golden)
    assert service.checkpoint_hash(job_id) == service.checkpoint_hash(golden)
    events = service.events(job_id)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


def test_a_paused_run_rests_and_ends_with_the_same_weights(service):
    # Long enough to be still running when the request arrives.
    spec = tiny_spec(max_steps=200, eval_steps=100, save_steps=50)
    golden = service.submit(spec)["id"]
    job_id = service.submit(spec)["id"]
    service.wait_for_step(job_id, 5)
    assert service.http.post(f"/v1/jobs/{job_id}/pause").status_code == 202
    service.wait(job_id, until={"paused", "succeeded"})
    assert service.job(job_id)["status"] == "paused"
    assert service.http.post(f"/v1/jobs/{job_id}/resume").status_code == 202
    assert service.wait(job_id)["status"] == "succeeded"
    assert service.losses(job_id) == service.losses(golden)
    assert service.checkpoint_hash(job_id) == service.checkpoint_hash(golden)


def test_a_paused_run_keeps_its_text_when_a_file_is_added(service):
    data = service.runs_dir.parent / "data"
    shutil.copytree(data / "sample", data / "growing")
    spec = tiny_spec(max_steps=200, eval_steps=100, save_steps=50)
    spec["data"]["dataset"] = "growing"
    golden = service.submit(spec)["id"]
    job_id = service.submit(spec)["id"]
    service.wait_for_step(job_id, 5)
    service.http.post(f"/v1/jobs/{job_id}/pause")
    service.wait(job_id, until={"paused", "succeeded"})
    assert service.job(job_id)["status"] == "paused"
    text = b"Zebras zigzag quizzically .\n" * 2000
    added = service.http.post("/v1/datasets/growing/files?name=notes.txt", content=text)
    assert added.status_code == 201, added.text
    service.http.post(f"/v1/jobs/{job_id}/resume")
    assert service.wait(job_id)["status"] == "succeeded"
    assert service.losses(job_id) == service.losses(golden)
    assert service.checkpoint_hash(job_id) == service.checkpoint_hash(golden)


def test_a_cancelled_run_is_gone_before_its_status_says_so(service):
    job_id = service.submit(tiny_spec(max_steps=5000))["id"]
    service.wait_for_step(job_id, 3)
    child = service.child(job_id)
    assert service.http.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
    job = service.wait(job_id)
    assert job["status"] == "cancelled"
    assert not child.is_running()
    assert service.http.post(f"/v1/jobs/{job_id}/cancel").status_code == 409


def test_generating_does_not_wait_for_a_training_job(service, undisturbed):
    busy = service.submit(tiny_spec(max_steps=5000))["id"]
    service.wait_for_step(busy, 1)
    path = f"/v1/jobs/{undisturbed['olmo2']['id']}/checkpoints/last/generate"
    body = {"prompt": "The dog", "max_new_tokens": 8, "temperature": 0.0, "seed": 0}
    first, second = (service.http.post(path, json=body) for _ in range(2))
    assert first.status_code == 200, first.text
    assert first.json()["text"] == second.json()["text"]
    assert service.job(busy)["status"] == "running"
    service.http.post(f"/v1/jobs/{busy}/cancel")
    service.wait(busy)


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "corpus_empty"), (b"caf\xe9 latin\n" * 10, "corpus_encoding")],
)
def test_a_bad_file_fails_the_job_by_name_and_the_service_continues(service, content, code):
    folder = service.runs_dir.parent / "data" / f"bad-{code}"
    folder.mkdir()
    (folder / "gutenberg.train").write_bytes(content)
    spec = tiny_spec()
    spec["data"]["dataset"] = folder.name
    job = service.wait(service.submit(spec)["id"])
    assert job["status"] == "failed"
    assert job["error"]["code"] == code
    assert "gutenberg.train" in job["error"]["message"]
    assert job["error"]["hint"]
    assert service.http.get("/readyz").status_code == 200


def test_a_file_that_vanishes_fails_the_job_by_name(service):
    folder = service.runs_dir.parent / "data" / "vanishing"
    folder.mkdir()
    for name in ("gutenberg", "childes"):
        (folder / f"{name}.train").write_text("The dog runs .\n" * 2000)
    blocker = service.submit(tiny_spec(max_steps=5000))["id"]
    service.wait_for_step(blocker, 1)
    spec = tiny_spec()
    spec["data"] |= {"dataset": folder.name, "validation": None}
    spec["data"]["sources"] = ["gutenberg", "childes"]
    waiting = service.submit(spec)["id"]
    assert service.job(waiting)["waiting_for"]
    (folder / "childes.train").unlink()
    service.http.post(f"/v1/jobs/{blocker}/cancel")
    job = service.wait(waiting)
    assert (job["status"], job["error"]["code"]) == ("failed", "corpus_missing")
    assert "childes" in job["error"]["message"]


def test_what_cannot_be_is_refused_at_once_and_names_the_field(service):
    cases = [
        ({"training": {"learning_speed": 1}}, "training.learning_speed"),
        ({"model": {"hidden_size": 100, "num_attention_heads": 7}}, "model.num_attention_heads"),
        ({"data": {"dataset": "nowhere"}}, "data.dataset"),
    ]
    for body, field in cases:
        answer = service.http.post("/v1/jobs", json=body)
        assert answer.status_code == 422, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert field in [error["field"] for error in answer.json()["errors"]]


def test_the_same_key_and_body_make_one_job(service):
    spec = tiny_spec(max_steps=1)
    first = service.submit(spec, **{"Idempotency-Key": "once"})
    again = service.http.post("/v1/jobs", json=spec, headers={"Idempotency-Key": "once"})
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    other = service.http.post(
        "/v1/jobs", json=tiny_spec(max_steps=2), headers={"Idempotency-Key": "once"}
    )
    assert other.status_code == 409
    service.wait(first["id"])


def test_nothing_of_the_service_is_left_after_it_stopped(tmp_path):
    import psutil

    write_sample(tmp_path / "data", target_bytes=60_000)
    with running_service(tmp_path) as running:
        processes = psutil.Process(running.process.pid).children(recursive=True)
        assert len(processes) >= 3
    wait_for(
        lambda: not [p for p in processes if p.is_running() and p.status() != "zombie"],
        what="all processes gone",
    )
