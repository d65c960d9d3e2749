import json

import pytest

from core.events.types import StageData
from core.tokenizer.learning import new_tokenizer, new_trainer
from jobs.short_tasks import succeed_short_task
from tests.api.conftest import SPEC
from tests.api.short import ShortWorker

BODY = {"data": {"dataset": "words", "validation": "words_dev"}, "tokenizer": {"vocab_size": 300}}
TOKEN = {"id": 5, "piece": "\u0120dog", "text": " dog", "start": 3, "end": 7}


@pytest.fixture
def with_tokenizer(world):
    """A running job that has finished the stage `tokenizer`."""
    job_id = world.running()
    counts = {"vocab_size": 300, "validation": {"tokens_per_word": 1.5, "bytes_per_word": 4.0}}
    for stage, found in (("clean", {}), ("tokenizer", counts), ("tokenize", {})):
        world.record(
            job_id,
            StageData(stage=stage, state="started"),
            StageData(stage=stage, state="finished", counts=found),
        )
    return job_id


def test_a_tokenizer_is_trained_alone_as_a_job(client):
    answer = client.post("/v1/tokenizers", json=BODY)
    assert answer.status_code == 201
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert job["spec"]["task"] == "tokenizer"
    assert job["spec"]["tokenizer"]["vocab_size"] == 300
    assert job["name"] == "tokenizer on words"
    assert client.get(f"/v1/jobs/{job['id']}").json()["status"] == "queued"


def test_the_same_key_makes_one_tokenizer(client):
    headers = {"Idempotency-Key": "t"}
    first = client.post("/v1/tokenizers", json=BODY, headers=headers)
    again = client.post("/v1/tokenizers", json=BODY, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"vocab_size": 300}, "vocab_size"),
        ({"tokenizer": {"vocab_size": 10}}, "tokenizer.vocab_size"),
        ({"data": {"dataset": "nowhere"}}, "data.dataset"),
        ({"name": "a\nb", **BODY}, "name"),
        ({"training": {}}, "training"),
    ],
)
def test_a_tokenizer_that_is_invalid_names_the_field(client, body, field):
    answer = client.post("/v1/tokenizers", json=body)
    assert answer.status_code == 422
    assert field in [error["field"] for error in answer.json()["errors"]]


def test_jobs_with_a_tokenizer_are_listed_with_its_statistics(client, world, with_tokenizer):
    world.job()
    page = client.get("/v1/tokenizers").json()
    [found] = page["data"]
    assert page["next"] is None
    assert (found["job"], found["dataset"]) == (with_tokenizer, "words")
    assert found["vocab_size"] == 300
    assert found["validation"]["tokens_per_word"] == 1.5


def test_a_text_is_split_by_the_short_worker(client, world, with_tokenizer):
    def split(session, task):
        assert (task.kind, task.request) == ("encode", {"text": "the dog"})
        succeed_short_task(session, task.id, task.attempt, {"tokens": [TOKEN]})

    path = f"/v1/tokenizers/{with_tokenizer}/encode"
    assert client.post(path, json={"text": "the dog"}).json()["code"] == "no_worker"
    with ShortWorker(world, split):
        answer = client.post(path, json={"text": "the dog"})
    assert answer.json() == {"tokens": [TOKEN]}


def test_a_job_without_a_tokenizer_splits_nothing(client, world):
    world.worker("short")
    answer = client.post(f"/v1/tokenizers/{world.job()}/encode", json={"text": "a"})
    assert answer.status_code == 409
    assert answer.json()["code"] == "tokenizer_missing"


def test_a_text_beyond_the_limit_is_refused(client, with_tokenizer):
    answer = client.post(f"/v1/tokenizers/{with_tokenizer}/encode", json={"text": "a" * 20_001})
    assert answer.status_code == 422


def test_a_job_may_name_the_tokenizer_of_another(client, world, with_tokenizer):
    spec = SPEC | {"tokenizer": {"from_job": with_tokenizer}}
    assert client.post("/v1/jobs", json=spec).status_code == 201
    unknown = client.post("/v1/jobs", json=SPEC | {"tokenizer": {"from_job": "0" * 32}})
    assert unknown.status_code == 422
    assert unknown.json()["errors"][0]["field"] == "tokenizer.from_job"


def test_a_job_that_ended_without_a_tokenizer_gives_none(client, world):
    job_id = world.running()
    spec = SPEC | {"tokenizer": {"from_job": job_id}}
    # The job `job_id` has no tokenizer yet, but may get one later.
    assert client.post("/v1/jobs", json=spec).status_code == 201
    world.end(job_id, "failed")
    answer = client.post("/v1/jobs", json=spec)
    assert answer.status_code == 422
    assert "has no tokenizer" in answer.json()["detail"]


@pytest.fixture(scope="module")
def existing():
    """The `tokenizer.json` of a tokenizer without merges."""
    tokenizer = new_tokenizer()
    tokenizer.train_from_iterator([], trainer=new_trainer(260, 1))
    return tokenizer.to_str().encode()


def test_an_existing_tokenizer_is_sent_named_and_removed(client, existing):
    sent = client.post("/v1/tokenizer-files/mine", content=existing)
    assert (sent.status_code, sent.json()["vocab_size"]) == (201, 259)
    assert client.get("/v1/tokenizer-files").json()["data"] == [sent.json()]
    assert client.post("/v1/tokenizer-files/mine", content=existing).status_code == 409
    spec = SPEC | {"tokenizer": {"path": sent.json()["path"]}}
    job = client.post("/v1/jobs", json=spec)
    assert job.json()["spec"]["tokenizer"]["vocab_size"] == 259
    assert client.post("/v1/tokenizers", json=BODY | {"tokenizer": spec["tokenizer"]}).is_success
    assert client.delete("/v1/tokenizer-files/mine").status_code == 204
    assert client.delete("/v1/tokenizer-files/mine").status_code == 404
    for path in ("/v1/jobs", "/v1/studies"):
        refused = client.post(path, json=spec)
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"] == "tokenizer.path"


def test_the_members_of_a_study_have_the_size_of_an_existing_tokenizer(client):
    tokenizer = new_tokenizer()
    tokenizer.train_from_iterator(["the dog sees the cat"] * 9, trainer=new_trainer(265, 1))
    client.post("/v1/tokenizer-files/mine", content=tokenizer.to_str().encode()).raise_for_status()
    spec = SPEC | {"tokenizer": {"path": "tokenizers/mine"}}
    study = client.post("/v1/studies", json=spec | {"seeds": 1}).json()
    added = client.post(f"/v1/studies/{study['id']}/seeds", json={"seeds": 2})
    assert added.status_code == 202, added.text
    members = client.get("/v1/jobs", params={"study": study["id"]}).json()["data"]
    assert [each["spec"]["tokenizer"]["vocab_size"] for each in members] == [265, 265]


def test_a_tokenizer_that_cannot_be_used_is_listed_with_the_reason(client, settings, existing):
    for name, merge in (("long", "a b c"), ("short", ["a"])):
        found = json.loads(existing)
        found["model"]["merges"] = [merge]
        folder = settings.data_dir / "tokenizers" / name
        folder.mkdir(parents=True)
        (folder / "tokenizer.json").write_text(json.dumps(found))
    for each in client.get("/v1/tokenizer-files").json()["data"]:
        assert each["vocab_size"] is None
        assert "is no tokenizer.json of Hugging Face" in each["error"]
    spec = SPEC | {"tokenizer": {"path": "tokenizers/long"}}
    assert client.post("/v1/jobs", json=spec).json()["code"] == "tokenizer_invalid"


def test_what_is_no_tokenizer_is_refused_and_leaves_nothing(client, settings, existing):
    for content in (b"", b"{}", existing.replace(b'"BPE"', b'"WordPiece"')):
        answer = client.post("/v1/tokenizer-files/mine", content=content)
        assert (answer.status_code, answer.json()["code"]) == (422, "tokenizer_invalid")
    assert "tokenizer.json is a WordPiece tokenizer" in answer.json()["detail"]
    assert not (settings.data_dir / "tokenizers").exists()
    for path in ("../runs", "/etc", "tokenizers/", "."):
        answer = client.post("/v1/jobs", json=SPEC | {"tokenizer": {"path": path}})
        assert answer.json()["errors"][0]["field"] == "tokenizer.path"
