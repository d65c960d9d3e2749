"""`init_from`: the weights are checked, and copied before the parent job can be removed."""

import json

from core.events.types import StageData
from core.spec.job import JobSpec
from core.storage.rundir import RunDir
from core.tokenizer.byte_level import byte_characters
from tests.api.conftest import SPEC

SPECIAL = ["<|endoftext|>", "<|pad|>", "<|unk|>"]


def write_parent(world):
    job_id = world.running()
    model = JobSpec.model_validate(SPEC).resolve().model
    tokens = [*SPECIAL, *byte_characters().values()]
    config = model.config_arguments(vocab_size=len(tokens)) | {"architectures": [model.model_class]}
    files = {"model.safetensors": b"weights", "config.json": json.dumps(config).encode()}
    world.checkpoint(job_id, files=files)
    folder = RunDir(world.settings.job_folder(job_id)).tokenizer
    folder.mkdir()
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = {
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "report.json").write_text("{}")
    for state in ("started", "finished"):
        world.record(
            job_id, StageData(stage="tokenizer", state=state, counts={"vocab_size": len(tokens)})
        )
    world.end(job_id)
    return job_id


def test_a_job_keeps_the_weights_when_the_parent_is_deleted(client, world):
    parent = write_parent(world)
    answer = client.post("/v1/jobs", json=SPEC | {"init_from": {"job": parent}})
    assert answer.status_code == 201, answer.text
    spec = answer.json()["spec"]
    assert spec["tokenizer"]["from_job"] == parent
    assert client.delete(f"/v1/jobs/{parent}").status_code == 204
    copy = RunDir(world.settings.job_folder(answer.json()["id"])).initial
    assert (copy / "model.safetensors").read_bytes() == b"weights"
    again = client.post("/v1/jobs", json=SPEC | {"init_from": {"job": parent}})
    assert again.status_code == 422


def test_the_members_of_a_study_keep_the_weights_as_single_jobs_do(client, world):
    parent = write_parent(world)
    body = SPEC | {"init_from": {"job": parent}}
    study = client.post("/v1/studies", json=body | {"seeds": 2}).json()
    path = f"/v1/studies/{study['id']}"
    assert client.post(f"{path}/seeds", json={"seeds": 3}).status_code == 202
    assert client.delete(f"/v1/jobs/{parent}").status_code == 204
    members = client.get(path).json()["members"]
    assert len(members) == 3
    for member in members:
        copy = RunDir(world.settings.job_folder(member["job"])).initial
        assert (copy / "model.safetensors").read_bytes() == b"weights"
    for again in (
        client.post("/v1/studies", json=body),
        client.post(f"{path}/seeds", json={"seeds": 4}),
    ):
        assert again.status_code == 422
    assert len(client.get(path).json()["members"]) == 3


def test_initial_weights_that_do_not_fit_are_refused_with_the_field(client, world):
    parent = write_parent(world)
    wide = SPEC | {"model": SPEC["model"] | {"hidden_size": 64}}
    cases = [
        (SPEC | {"init_from": {"job": parent, "checkpoint": "ema"}}, "init_from.checkpoint"),
        (SPEC | {"init_from": {"job": "0" * 32}}, "init_from.job"),
        (SPEC | {"init_from": {"path": "models/none"}}, "init_from.path"),
        (wide | {"init_from": {"job": parent}}, "model"),
    ]
    for body, field in cases:
        for path in ("/v1/jobs", "/v1/studies"):
            answer = client.post(path, json=body)
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
            assert answer.json()["code"] == "initial_weights_invalid"
        assert any("refused" in each for each in estimated(client, body))
    message = client.post("/v1/jobs", json=cases[3][0]).json()["detail"]
    assert "hidden_size: 64 in the job, 32 in the weights" in message


def estimated(client, body):
    return client.post("/v1/jobs/estimate", json=body).json()["warnings"]
