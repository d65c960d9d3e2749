"""Studies: a group of jobs over conditions and seeds, and the table that compares them."""

import csv
import io
import json

import pytest

from core.sample import write_sample
from jobs.attempts import claim_next
from jobs.studies import get_study
from tests.api.conftest import SPEC

RATE = "training.learning_rate"
STUDY = SPEC | {"name": "rates", "grid": {RATE: [1e-4, 5e-4]}, "seeds": 3}


@pytest.fixture
def study(client):
    answer = client.post("/v1/studies", json=STUDY)
    assert answer.status_code == 201, answer.text
    return answer.json()


def finish(world, values, *, status="succeeded"):
    """Claims and ends the members in the order of the queue, with a value for each."""
    for value in values:
        with world.database.write() as session:
            job_id = claim_next(session, "worker").id
        if value is not None:
            world.metrics(job_id, 1, validation__loss=99.0, train__loss=1.0)
            world.metrics(job_id, 2, validation__loss=value, evaluation__blimp=value / 10)
        world.end(job_id, status)


def test_members_are_ordinary_jobs_with_their_condition(client, study):
    assert (study["num_conditions"], study["num_members"]) == (2, 6)
    assert study["counts"] == {"queued": 6}
    found = client.get(f"/v1/jobs?study={study['id']}").json()["data"]
    assert {(job["condition"][RATE], job["spec"]["training"]["seed"]) for job in found} == {
        (rate, seed) for rate in (1e-4, 5e-4) for seed in (0, 1, 2)
    }
    for job in found:
        assert job["study"] == study["id"]
        assert job["spec"]["training"]["learning_rate"] == job["condition"][RATE]
    # Every condition gets its first seed before any condition gets its second seed.
    names = [job["name"] for job in reversed(found)]
    assert names[:3] == [
        "rates, learning_rate=0.0001, seed 0",
        "rates, learning_rate=0.0005, seed 0",
        "rates, learning_rate=0.0001, seed 1",
    ]
    [listed] = client.get("/v1/studies").json()["data"]
    assert listed == {name: study[name] for name in listed}
    assert client.post("/v1/jobs", json=SPEC).json()["study"] is None


def test_the_base_may_be_a_spec_a_preset_or_fields(client, settings):
    write_sample(settings.data_dir, target_bytes=20_000)
    preset = {"preset": "sample", "training": {"seed": 7}}
    for body in ({"spec": preset}, preset):
        made = client.post("/v1/studies", json=body | {"seeds": 2}).json()
        assert (made["name"], made["seeds"]) == ("sample", [7, 8])
        assert [member["condition"] for member in made["members"]] == [{}, {}]


def test_the_same_key_and_body_return_the_first_study(client):
    headers = {"Idempotency-Key": "key-1"}
    first = client.post("/v1/studies", json=STUDY, headers=headers)
    again = client.post("/v1/studies", json=STUDY, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    other = client.post("/v1/studies", json=STUDY | {"seeds": 4}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert first.json()["id"] in other.json()["detail"]
    assert len(client.get("/v1/jobs").json()["data"]) == 6


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"grid": {"training.lerning_rate": [1]}}, "training.lerning_rate", "no such field"),
        ({"grid": {RATE: [1e-4, -1]}}, RATE, "condition: learning_rate=-1"),
        ({"grid": {RATE: []}}, f"grid.{RATE}", "at least 1"),
        ({"grid": {RATE: [1, 1]}}, "grid", "more than once"),
        ({"grid": {"training.seed": [1]}}, "grid", "list the seeds in `seeds`"),
        ({"grid": {"../x": [1]}}, "grid.../x", "match pattern"),
        ({"seeds": 0}, "seeds", "greater than or equal to 1"),
        ({"seeds": [1, 1]}, "seeds", "more than once"),
        ({"seeds": 101}, "", "at most 200"),
        ({"spec": SPEC}, "", "both given"),
        ({"grid": {RATE: [json.loads("[" * 900 + "]" * 900)]}}, "", "levels deep"),
        ({"grid": {RATE: [float("nan")]}}, "", "not a finite number"),
        ({"data": {"dataset": "words", "validation": "nothing"}}, "data.validation", "no dataset"),
    ],
)
def test_a_study_is_refused_as_a_whole(client, change, field, message):
    body = json.dumps(STUDY | change)  # encoded here, because the client refuses NaN
    headers = {"Content-Type": "application/json"}
    answer = client.post("/v1/studies", content=body, headers=headers)
    assert answer.status_code == 422, answer.text
    errors = answer.json()["errors"]
    assert any(
        error["field"].startswith(field) and message in error["message"] for error in errors
    ), errors
    assert client.get("/v1/jobs").json()["data"] == []
    assert client.get("/v1/studies").json()["data"] == []


def test_the_table_judges_only_beyond_twice_the_noise(client, world, study):
    path = f"/v1/studies/{study['id']}"
    # The queue alternates between the two conditions. The baseline gets 3.0, 3.1 and 3.2, and the
    # other condition gets 2.6, 2.7 and 2.8.
    finish(world, [3.0, 2.6])
    first = client.get(path).json()
    assert first["table"][1]["metrics"]["validation/loss"]["verdict"] == "too_few_seeds"
    finish(world, [3.1, 2.7, 3.2, 2.8])
    found = client.get(path).json()
    assert found["metrics"] == ["validation/loss", "evaluation/blimp"]
    base, other = (row["metrics"]["validation/loss"] for row in found["table"])
    assert (base["n"], base["verdict"], base["difference"]) == (3, "baseline", None)
    assert base["mean"] == pytest.approx(3.1)
    assert base["deviation"] == pytest.approx(0.1)
    assert base["best"] == 3.0
    assert other["verdict"] == "better"  # 0.4 below the baseline; the noise is 0.2
    assert other["difference"] == pytest.approx(-0.4)
    assert other["noise"] == pytest.approx(0.2)
    scores = found["table"][1]["metrics"]["evaluation/blimp"]
    assert scores["verdict"] == "worse"  # more is better for a score
    assert scores["best"] == pytest.approx(0.28)


def test_values_that_are_not_final_do_not_count(client, world, study):
    finish(world, [3.0, 2.9, 3.1])
    finish(world, [1.0], status="failed")
    finish(world, [None, 3.05])
    found = client.get(f"/v1/studies/{study['id']}").json()
    base, other = (row["metrics"]["validation/loss"] for row in found["table"])
    assert (base["n"], other["n"]) == (2, 2)  # one job has no value, and one has failed
    assert other["verdict"] == "within_noise"
    assert found["counts"] == {"succeeded": 5, "failed": 1}
    lines = list(csv.DictReader(io.StringIO(client.get(f"/v1/studies/{study['id']}/csv").text)))
    assert [line["seed"] for line in lines] == ["0", "1", "2"] * 2
    assert [line["validation/loss"] for line in lines] == ["3.0", "3.1", "", "2.9", "1.0", "3.05"]
    assert lines[4] | {"job": ""} == {
        "condition": "1",
        RATE: "0.0005",
        "seed": "1",
        "status": "failed",
        "validation/loss": "1.0",
        "evaluation/blimp": "0.1",
        "job": "",
    }
    same = client.get(f"/v1/studies/{study['id']}?format=csv")
    assert same.headers["content-type"].startswith("text/csv")
    assert list(csv.DictReader(io.StringIO(same.text))) == lines


def test_a_study_is_cancelled_resumed_and_deleted_as_a_whole(client, world, study, settings):
    path = f"/v1/studies/{study['id']}"
    finish(world, [3.0])
    assert client.post(f"{path}/resume").status_code == 409
    refused = client.delete(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "study_refused")
    assert client.post(f"{path}/cancel").json()["counts"] == {"succeeded": 1, "cancelled": 5}
    assert client.post(f"{path}/cancel").status_code == 409
    assert client.post(f"{path}/resume").json()["counts"] == {"succeeded": 1, "queued": 5}
    client.post(f"{path}/cancel").raise_for_status()
    folder = settings.job_folder(study["members"][0]["job"])
    folder.mkdir(parents=True)
    assert client.delete(path).status_code == 204
    assert not folder.exists()
    assert client.get("/v1/jobs").json()["data"] == []
    for call in (client.get, client.delete):
        gone = call(path)
        assert (gone.status_code, gone.json()["code"]) == (404, "study_not_found")


def test_seeds_are_added_once(client, world, study):
    path = f"/v1/studies/{study['id']}"
    finish(world, [3.0])
    for _ in range(2):  # `seeds` is the total number, so a repeated call adds nothing
        added = client.post(f"{path}/seeds", json={"seeds": 4})
        assert added.status_code == 202, added.text
        assert (added.json()["seeds"], added.json()["num_members"]) == ([0, 1, 2, 3], 8)
    for _ in range(2):
        added = client.post(f"{path}/seeds", json={"seeds": [42]}).json()
        assert (added["seeds"], added["num_members"]) == ([0, 1, 2, 3, 42], 10)
    jobs = client.get(f"/v1/jobs?study={study['id']}").json()["data"]
    newest = next(job for job in jobs if job["spec"]["training"]["seed"] == 42)
    oldest = next(job for job in jobs if job["condition"] == newest["condition"])
    same = {section: newest["spec"][section] for section in ("model", "data", "tokenizer")}
    assert same == {section: oldest["spec"][section] for section in same}
    assert client.post(f"{path}/seeds", json={"seeds": 101}).status_code == 422


def test_the_text_of_new_members_is_checked_without_a_lock(client, world, study, settings):
    """Reading the text may take seconds; other requests can write meanwhile."""
    (settings.data_dir / "words").rename(settings.data_dir / "moved")
    with world.database.write() as session:
        get_study(session, study["id"], lock=True)
        answer = client.post(f"/v1/studies/{study['id']}/seeds", json={"seeds": 4})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "data.dataset")


def test_a_study_of_fine_tuning_jobs_is_refused(client):
    finetune = {"job": "0" * 32, "tasks": ["boolq"]}
    answer = client.post("/v1/studies", json={"task": "finetune", "finetune": finetune})
    assert (answer.status_code, answer.json()["code"]) == (422, "study_refused")
    assert answer.json()["errors"][0]["field"] == "task"
    assert client.get("/v1/jobs").json()["data"] == []


def test_studies_are_listed_in_pages(client):
    ids = [client.post("/v1/studies", json=SPEC | {"seeds": [n]}).json()["id"] for n in range(3)]
    page = client.get("/v1/studies?limit=2").json()
    rest = client.get("/v1/studies", params={"limit": 2, "after": page["next"]}).json()
    assert [each["id"] for each in page["data"] + rest["data"]] == ids[::-1]
    assert rest["next"] is None
