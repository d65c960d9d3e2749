"""Fine-tuning jobs: what is refused at submit, and where scores and checkpoints are kept."""

import json

import pytest

from core.evaluation.predictions import publish_predictions
from core.events.results import EvaluationResult, ParadigmScore
from core.events.types import EvaluationData, MetricsData
from core.storage.rundir import RunDir
from tests.official_files import write_classification_files

PREDICTIONS = {"rte": {"predictions": [{"id": "rte_0", "pred": 1}]}}
RESULT = EvaluationResult(
    kind="classification",
    score=0.75,
    strict_score=0.75,
    pairs=4,
    seconds=1.5,
    paradigms=[ParadigmScore(name="rte", phenomenon=None, pairs=4, score=0.75, strict_score=0.75)],
    measures={"accuracy": 0.75, "f1": 0.8, "mcc": 0.5, "majority": 0.5},
)


@pytest.fixture
def source(world, settings):
    write_classification_files(settings.data_dir / "evaluations" / "glue_filtered", items=40)
    job_id = world.running()
    world.metrics(job_id, 2, train__loss=3.0)
    world.checkpoint(job_id, "last", step=3, files={"config.json": b"{}"})
    world.end(job_id)
    return job_id


def spec(job_id, **finetune):
    return {"task": "finetune", "finetune": {"job": job_id, "tasks": ["rte"], **finetune}}


def submit(client, job_id, **finetune):
    return client.post("/v1/jobs", json=spec(job_id, **finetune))


def finished_task(world, client, job_id):
    """The fine-tuning job after a worker has reported its score."""
    made = submit(client, job_id).json()["id"]
    assert world.claim() == made
    folder = RunDir(world.settings.job_folder(made))
    for rundir in (folder, RunDir(world.settings.job_folder(job_id))):
        publish_predictions(rundir.predictions("last", "rte"), PREDICTIONS)
    scores = RESULT.scores()
    data = EvaluationData(step=None, checkpoint="last", task="rte", scores=scores, result=RESULT)
    world.record(made, data)
    return made


def test_the_spec_is_completed_from_the_job_of_the_checkpoint(client, world, source, settings):
    answer = submit(client, source)
    assert answer.status_code == 201
    made = answer.json()
    assert made["name"] == "last of tiny: rte"
    assert made["spec"]["model"]["architecture"] == "olmo2"
    assert made["spec"]["finetune"]["checkpoint"] == "last"
    linked = RunDir(settings.job_folder(made["id"])).source / "config.json"
    original = settings.job_folder(source) / "checkpoints" / "last" / "config.json"
    assert linked.samefile(original)
    everything = client.post("/v1/jobs", json={"task": "finetune", "finetune": {"job": source}})
    assert everything.json()["spec"]["finetune"]["tasks"] == [
        *("boolq", "mnli", "multirc", "qqp", "rte", "wsc")
    ]
    assert everything.json()["name"] == "last of tiny: boolq, mnli, multirc, qqp and 2 more"


def test_while_a_finetuning_waits_only_the_text_may_be_deleted(client, world, source):
    made = submit(client, source).json()["id"]
    refused = client.delete(f"/v1/jobs/{source}")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_in_use")
    assert (
        f"job {made} is queued and needs the tokenizer or a checkpoint" in refused.json()["detail"]
    )
    assert client.get(f"/v1/jobs/{source}").status_code == 200
    assert client.delete("/v1/datasets/words").status_code == 204
    assert client.post(f"/v1/jobs/{made}/cancel").status_code == 202
    assert client.delete(f"/v1/jobs/{source}").status_code == 204


@pytest.mark.parametrize(
    ("finetune", "field", "reason"),
    [
        ({"job": "missing"}, "finetune.job", "there is no job missing"),
        ({"checkpoint": "chck_1M"}, "finetune.checkpoint", "has no checkpoint 'chck_1M'"),
        ({"tasks": ["cola"]}, "finetune.tasks", "has no task cola; it has: boolq, mnli"),
        ({"folder": "glue"}, "finetune.tasks", "the folder evaluations/glue of the data"),
        ({"batch_size": 64}, "finetune.tasks", "has 40 examples and finetune.batch_size is 64"),
        ({"sequence_length": 100_000}, "finetune.sequence_length", "accepts 2048 tokens"),
    ],
)
def test_what_cannot_run_is_refused_at_submit(client, source, finetune, field, reason):
    answer = submit(client, source, **finetune)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert reason in error["message"]


def test_a_line_that_does_not_parse_is_refused_at_submit(client, source, settings):
    file = settings.data_dir / "evaluations" / "glue_filtered" / "rte.valid.jsonl"
    file.write_text(file.read_text() + '{"sentence1": "a", "label": 1}\n')
    answer = submit(client, source)
    assert (answer.status_code, answer.json()["code"]) == (422, "task_unknown")
    assert "rte.valid.jsonl, line 21 has no sentence2; expected" in answer.json()["detail"]


def test_the_folder_is_listed_with_its_tasks_and_no_zero_shot_task(client, source):
    [task] = client.get("/v1/evaluations").json()["data"]
    assert (task["name"], task["kind"], task["error"]) == ("glue_filtered", "classification", None)
    assert task["tasks"] == ["boolq", "mnli", "multirc", "qqp", "rte", "wsc"]
    path = f"/v1/jobs/{source}/checkpoints/last/evaluations"
    refused = client.post(path, json={"task": "glue_filtered"})
    assert refused.status_code == 422
    assert "need fine-tuning" in refused.json()["detail"]


def test_the_estimate_counts_the_steps_of_all_tasks(client, source):
    found = client.post("/v1/jobs/estimate", json=spec(source, tasks=["rte", "wsc"])).json()
    # 40 examples make one whole batch of 32, so an epoch has one step. rte has 10 epochs, wsc 30.
    assert found["steps"] == 10 + 30
    assert found["words"] is None
    assert found["seconds"]["cuda"] > 0.0
    first = client.post("/v1/jobs/estimate", json=spec(source, pooling="first")).json()
    assert any("finetune.pooling is `first`" in warning for warning in first["warnings"])


def test_a_score_is_listed_once_for_each_of_the_two_jobs(client, world, source):
    made = finished_task(world, client, source)
    [own] = client.get(f"/v1/jobs/{made}/evaluations").json()["data"]
    [other] = client.get(f"/v1/jobs/{source}/evaluations").json()["data"]
    assert (own["source"], own["finetune"]) == (source, None)
    assert (other["source"], other["finetune"]) == (None, made)
    for found in (own, other):
        assert (found["task"], found["checkpoint"], found["step"]) == ("rte", "last", 3)
        assert (found["kind"], found["score"], found["words_seen"]) == (
            *("classification", 0.75, 210),
        )
        assert found["measures"] == RESULT.measures
        path = f"/v1/jobs/{found['job']}/evaluations/{found['id']}/predictions"
        assert json.loads(client.get(path).content) == PREDICTIONS
    series = client.get(f"/v1/jobs/{source}/metrics").json()["series"]
    assert (series["evaluation/rte"]["step"], series["evaluation/rte"]["value"]) == ([3], [0.75])
    events = client.get(f"/v1/jobs/{source}/events").json()["data"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [e["data"]["step"] for e in events if e["type"] == "evaluation"] == [3]
    curves = client.get(f"/v1/jobs/{source}/curves").json()["data"]
    assert {curve["task"] for curve in curves} == {"rte"}


def test_a_score_remains_if_the_job_of_the_checkpoint_is_gone(client, world, source, database):
    from jobs.deletion import delete_with_folder

    made = submit(client, source).json()["id"]
    assert world.claim() == made
    client.post(f"/v1/jobs/{made}/cancel")
    world.end(made, "cancelled")
    delete_with_folder(database, world.settings, source)
    client.post(f"/v1/jobs/{made}/retry")
    assert world.claim() == made
    data = EvaluationData(
        step=None, checkpoint="last", task="rte", scores=RESULT.scores(), result=RESULT
    )
    world.record(made, data, attempt=2)
    [own] = client.get(f"/v1/jobs/{made}/evaluations").json()["data"]
    assert (own["score"], own["source"], own["step"]) == (0.75, source, 0)


def test_an_attempt_that_gets_further_counts_as_progress(client, world, source, database):
    from jobs.attempts import requeue_counted
    from jobs.tables import Job

    made = submit(client, source).json()["id"]

    def attempts_after(number, step):
        assert world.claim() == made
        values: dict[str, float | None] = {"finetune/loss/rte": 0.5}
        measured = MetricsData(step=step, epoch=1.0, tokens_seen=1, words_seen=0, values=values)
        world.record(made, measured, attempt=number)
        with database.write() as session:
            requeue_counted(session, made, number, reason="died")
        with database.read() as session:
            return session.get(Job, made).attempts_without_checkpoint

    assert [attempts_after(*each) for each in ((1, 5), (2, 5), (3, 5), (4, 6))] == [1, 2, 3, 1]
