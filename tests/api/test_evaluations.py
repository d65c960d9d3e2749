import json

import pytest

from core.evaluation.predictions import publish_predictions
from core.events.results import EvaluationResult
from core.events.types import EvaluationData, ProgressData
from core.storage.rundir import RunDir
from jobs.evaluations import record_evaluation
from jobs.short_tasks import put_back_short_task, succeed_short_task
from tests.api.short import ShortWorker
from tests.official_files import write_official_files

PAIR = {"sentence_good": "The dogs run.", "sentence_bad": "The dogs runs."}
RESULT = {
    "score": 0.75,
    "strict_score": 0.5,
    "pairs": 4,
    "seconds": 1.5,
    "paradigms": [
        {"name": "a", "phenomenon": "agreement", "pairs": 2, "score": 1.0, "strict_score": 0.5},
        {"name": "b", "phenomenon": None, "pairs": 2, "score": 0.5, "strict_score": 0.5},
    ],
}


@pytest.fixture
def job_id(world, settings):
    task = settings.data_dir / "evaluations" / "blimp"
    task.mkdir(parents=True)
    (task / "a.jsonl").write_text(json.dumps(PAIR) + "\n")
    made = world.running()
    world.metrics(made, 2, train__loss=3.0)
    world.checkpoint(made, "last", step=3, files={"config.json": b"{}"})
    world.metrics(made, 9, train__loss=2.0)
    return made


def evaluate(client, job_id, task="blimp", checkpoint="last"):
    path = f"/v1/jobs/{job_id}/checkpoints/{checkpoint}/evaluations"
    return client.post(path, json={"task": task})


def finished(client, job_id) -> dict:
    for _ in range(2000):
        [found] = client.get(f"/v1/jobs/{job_id}/evaluations").json()["data"]
        if found["status"] in ("succeeded", "failed"):
            return found
    raise AssertionError(found)


def test_each_folder_of_pairs_is_listed_as_a_task(client, job_id):
    [task] = client.get("/v1/evaluations").json()["data"]
    assert (task["name"], task["kind"], task["paradigms"]) == ("blimp", "minimal_pairs", 1)
    assert task["error"] is None
    assert "evaluations" not in [each["name"] for each in client.get("/v1/datasets").json()["data"]]


def test_a_requested_evaluation_is_listed(client, world, job_id):
    world.worker("short")
    answer = evaluate(client, job_id)
    assert answer.status_code == 202
    asked = answer.json()
    assert (asked["task"], asked["checkpoint"], asked["status"]) == ("blimp", "last", "queued")
    assert (asked["step"], asked["words_seen"], asked["score"]) == (3, 210, None)
    assert client.get(f"/v1/jobs/{job_id}/evaluations").json()["data"] == [asked]


def test_the_score_of_an_evaluation_becomes_an_event_and_a_metric_at_the_step_of_the_checkpoint(
    client, world, job_id
):
    def answer(session, task):
        assert (task.kind, task.request["task"]) == ("evaluate", "blimp")
        succeed_short_task(session, task.id, task.attempt, RESULT)
        record_evaluation(session, task, RESULT)

    with ShortWorker(world, answer):
        evaluate(client, job_id)
        found = finished(client, job_id)
    assert (found["score"], found["strict_score"], found["pairs"]) == (0.75, 0.5, 4)
    assert found["paradigms"][0]["phenomenon"] == "agreement"
    series = client.get(f"/v1/jobs/{job_id}/metrics").json()["series"]
    blimp = series["evaluation/blimp"]
    assert (blimp["step"], blimp["value"], blimp["words_seen"]) == ([3], [0.75], [210])
    assert blimp["epoch"] == [pytest.approx(0.3)]
    assert series["train/loss"]["step"] == [2, 9]
    events = client.get(f"/v1/jobs/{job_id}/events").json()["data"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    evaluation, metrics = events[-2:]
    assert evaluation["type"] == "evaluation"
    assert evaluation["data"]["scores"] == {
        "score": 0.75,
        "strict_score": 0.5,
        "paradigm/a": 1.0,
        "paradigm/b": 0.5,
    }
    assert metrics["data"]["values"] == {"evaluation/blimp": 0.75}
    job = client.get(f"/v1/jobs/{job_id}").json()
    assert job["last_seq"] == len(events)
    assert job["step"] == 9  # an evaluation of a past step does not change the step of the job
    assert job["metrics"]["step"] == 9
    assert job["metrics"]["values"] == {"train/loss": 2.0, "evaluation/blimp": 0.75}


def test_an_evaluation_of_the_run_itself_is_listed_and_becomes_a_metric(client, world, job_id):
    result = EvaluationResult.model_validate(RESULT)
    evaluation = EvaluationData(
        step=3, checkpoint="last", task="blimp", scores=result.scores(), result=result
    )
    world.record(job_id, evaluation, ProgressData(stage="export", progress=1.0, stage_progress=1.0))
    [listed] = client.get(f"/v1/jobs/{job_id}/evaluations").json()["data"]
    assert (listed["status"], listed["progress"], listed["checkpoint"]) == (
        "succeeded",
        1.0,
        "last",
    )
    assert {name: listed[name] for name in RESULT} == RESULT
    series = client.get(f"/v1/jobs/{job_id}/metrics").json()["series"]
    assert (series["evaluation/blimp"]["step"], series["evaluation/blimp"]["value"]) == (
        [3],
        [0.75],
    )
    events = client.get(f"/v1/jobs/{job_id}/events").json()["data"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["type"] for event in events[-3:]] == ["evaluation", "progress", "metrics"]
    job = client.get(f"/v1/jobs/{job_id}").json()
    assert (job["last_seq"], job["step"], job["stage"]) == (len(events), 9, "export")


def test_an_evaluation_of_an_earlier_checkpoint_does_not_replace_the_latest_value(
    client, world, job_id
):
    world.checkpoint(job_id, "chck_1M", step=8, files={"model.safetensors": b""})
    for checkpoint, score in (("chck_1M", 0.9), ("last", 0.5)):  # first step 8, then step 3
        world.record(
            job_id,
            EvaluationData(step=9, checkpoint=checkpoint, task="blimp", scores={"score": score}),
        )
    metrics = client.get(f"/v1/jobs/{job_id}").json()["metrics"]
    assert metrics["values"]["evaluation/blimp"] == 0.9
    series = client.get(f"/v1/jobs/{job_id}/metrics").json()["series"]["evaluation/blimp"]
    assert (series["step"], series["value"]) == ([3, 8], [0.5, 0.9])
    again = EvaluationData(step=9, checkpoint="chck_1M", task="blimp", scores={"score": 0.8})
    world.record(job_id, again)  # the same step, measured again
    metrics = client.get(f"/v1/jobs/{job_id}").json()["metrics"]
    assert metrics["values"]["evaluation/blimp"] == 0.8


def test_the_score_of_averaged_weights_does_not_replace_that_of_the_weights(client, world, job_id):
    """A run publishes `last` and `ema` at the same step, and evaluates both."""
    world.checkpoint(job_id, "ema", step=3, files={"model.safetensors": b""})
    for checkpoint, score in (("last", 0.5), ("ema", 0.9)):
        scores = {"score": score}
        evaluation = EvaluationData(step=3, checkpoint=checkpoint, task="blimp", scores=scores)
        world.record(job_id, evaluation)
    values = client.get(f"/v1/jobs/{job_id}").json()["metrics"]["values"]
    assert (values["evaluation/blimp"], values["evaluation_ema/blimp"]) == (0.5, 0.9)


def test_an_evaluation_of_an_unknown_checkpoint_does_not_stop_reading(client, world, job_id):
    world.record(job_id, EvaluationData(step=1, checkpoint="gone", task="a", scores={"score": 1.0}))
    assert client.get(f"/v1/jobs/{job_id}/evaluations").json()["data"] == []
    assert client.get(f"/v1/jobs/{job_id}/events").json()["data"][-1]["type"] == "evaluation"


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (["missing"], "the evaluation task 'missing' does not exist; existing tasks: blimp, odd"),
        (["blimp", "odd"], "task 'odd' cannot be read: b.jsonl, line 1 is of no known kind"),
        (["../blimp"], "'../blimp' must be 1 to 40 ASCII letters, digits, '.', '_' or '-'"),
        (["blimp", "blimp"], "must name each task once; blimp is named twice"),
    ],
)
def test_a_job_with_invalid_tasks_is_refused_with_the_name_of_the_field(
    client, settings, job_id, tasks, message
):
    odd = settings.data_dir / "evaluations" / "odd"
    odd.mkdir()
    (odd / "b.jsonl").write_text('{"question": "?"}\n')
    body = {"preset": "sample", "data": {"dataset": "words", "validation": None}}
    answer = client.post("/v1/jobs", json=body | {"evaluation": {"tasks": tasks}})
    assert answer.status_code == 422
    [fault] = answer.json()["errors"]
    assert fault["field"] == "evaluation.tasks"
    assert message in fault["message"]


def test_an_estimate_warns_of_a_task_that_does_not_exist(client, job_id):
    body = {"preset": "sample", "evaluation": {"tasks": ["missing"]}}
    warnings = client.post("/v1/jobs/estimate", json=body).json()["warnings"]
    assert "the evaluation task 'missing' does not exist; existing tasks: blimp" in warnings


def test_the_events_of_a_run_continue_after_an_evaluation(client, world, job_id):
    def answer(session, task):
        succeed_short_task(session, task.id, task.attempt, RESULT)
        record_evaluation(session, task, RESULT)

    with ShortWorker(world, answer):
        evaluate(client, job_id)
        finished(client, job_id)
    world.metrics(job_id, 10, train__loss=1.0)
    events = client.get(f"/v1/jobs/{job_id}/events").json()["data"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["data"]["values"] == {"train/loss": 1.0}


def test_an_evaluation_shows_its_progress_between_two_slices(client, world, job_id):
    slices = []

    def answer(session, task):
        slices.append(task.state)
        if len(slices) < 3:
            state = {"file": len(slices)}
            put_back_short_task(
                session, task.id, task.attempt, state=state, progress=len(slices) / 3
            )
            return
        succeed_short_task(session, task.id, task.attempt, RESULT)

    with ShortWorker(world, answer):
        evaluate(client, job_id)
        found = finished(client, job_id)
    assert [state and state["file"] for state in slices] == [None, 1, 2]
    assert (found["status"], found["progress"]) == ("succeeded", 1.0)


def test_evaluations_outlive_the_end_of_the_job_and_its_stream_ends(client, world, job_id):
    world.end(job_id)

    def answer(session, task):
        succeed_short_task(session, task.id, task.attempt, RESULT)
        record_evaluation(session, task, RESULT)

    with ShortWorker(world, answer):
        evaluate(client, job_id)
        finished(client, job_id)
    text = client.get(f"/v1/jobs/{job_id}/events/stream").text
    assert "event: evaluation" in text


@pytest.mark.parametrize("task", ["nothing", "../blimp", "", "a" * 41, 1, None])
def test_the_error_for_a_missing_task_names_the_field(client, world, job_id, task):
    world.worker("short")
    answer = evaluate(client, job_id, task=task)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "task"


def test_a_missing_checkpoint_gives_404(client, world, job_id):
    world.worker("short")
    assert evaluate(client, job_id, checkpoint="chck_1M").status_code == 404


def test_deleting_a_job_deletes_its_evaluations(client, world, job_id):
    world.worker("short")
    evaluate(client, job_id)
    world.end(job_id)
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert client.get(f"/v1/jobs/{job_id}/evaluations").status_code == 404


def test_a_listed_task_has_its_kind_or_the_reason_why_it_has_none(client, settings, job_id):
    write_official_files(settings.data_dir / "evaluations" / "..", items=3)
    for name in ("comps", "reading"):
        (settings.data_dir / name).rename(settings.data_dir / "evaluations" / name)
    odd = settings.data_dir / "evaluations" / "odd"
    odd.mkdir()
    (odd / "b.jsonl").write_text("question,answer\n")
    found = {each["name"]: each for each in client.get("/v1/evaluations").json()["data"]}
    assert {name: each["kind"] for name, each in found.items()} == {
        "blimp": "minimal_pairs",
        "comps": "comps",
        "odd": None,
        "reading": "reading",
    }
    assert "b.jsonl, line 1 is not JSON" in found["odd"]["error"]


def test_evaluating_a_checkpoint_on_an_unreadable_task_is_refused(client, settings, world, job_id):
    world.worker("short")
    (settings.data_dir / "evaluations" / "blimp" / "a.jsonl").write_text('{"sentence_good": 1}\n')
    answer = evaluate(client, job_id)
    assert answer.status_code == 422
    [fault] = answer.json()["errors"]
    assert fault["field"] == "task"
    assert "a.jsonl, line 1" in fault["message"]


def test_predictions_are_served_once_the_evaluation_has_finished(client, settings, world, job_id):
    predictions = {"a": {"predictions": [{"id": "a_0", "pred": "The dogs run."}]}}
    file = RunDir(settings.job_folder(job_id)).predictions("last", "blimp")

    def answer(session, task):
        publish_predictions(file, predictions)
        succeed_short_task(session, task.id, task.attempt, RESULT)

    world.worker("short")
    asked = evaluate(client, job_id).json()
    path = f"/v1/jobs/{job_id}/evaluations/{asked['id']}/predictions"
    waiting = client.get(path)
    assert (waiting.status_code, waiting.json()["code"]) == (404, "predictions_missing")
    assert "the evaluation is queued" in waiting.json()["detail"]
    with ShortWorker(world, answer):
        finished(client, job_id)
    found = client.get(path)
    assert found.json() == predictions
    assert "last.blimp.predictions.json" in found.headers["content-disposition"]
    file.unlink()
    assert client.get(path).json()["code"] == "predictions_missing"
    other = f"/v1/jobs/{job_id}/evaluations/{'0' * 32}/predictions"
    assert client.get(other).json()["code"] == "evaluation_not_found"
    assert client.get(path.replace(job_id, world.running())).status_code == 404


def test_learning_curves_over_words_seen_in_three_formats(client, world, job_id):
    for number, score in enumerate((0.25, 0.5, 0.75), start=1):
        world.checkpoint(job_id, f"chck_{number}M", step=number + 3, files={"config.json": b"{}"})
        found = EvaluationResult.model_validate(
            RESULT | {"score": score, "paradigms": [RESULT["paradigms"][0] | {"score": score}]}
        )
        evaluation = EvaluationData(
            step=number + 3,
            checkpoint=f"chck_{number}M",
            task="blimp",
            scores=found.scores(),
            result=found,
        )
        world.record(job_id, evaluation)
    path = f"/v1/jobs/{job_id}/curves"
    [curve] = client.get(path).json()["data"]
    assert (curve["task"], curve["part"], curve["metric"]) == ("blimp", "score", "accuracy")
    assert [point["score"] for point in curve["points"]] == [0.25, 0.5, 0.75]
    words = [point["words_seen"] for point in curve["points"]]
    assert words == sorted(words)
    assert {line["model"] for line in curve["baselines"]} >= {"GPT-2 2026"}
    assert "no gain beyond noise" in curve["verdict"]  # two items prove no gain
    table = client.get(path, params={"format": "csv"})
    assert table.headers["content-type"].startswith("text/csv")
    assert len(table.text.splitlines()) == 4
    text = client.get(path, params={"format": "markdown"}).text
    assert "| chck_3M |" in text
    assert client.get(path, params={"format": "pdf"}).status_code == 422
    assert client.get(f"/v1/jobs/{'0' * 32}/curves").status_code == 404
