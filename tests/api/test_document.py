"""The generated API page is complete and current, and each of its commands works."""

import json
import shlex
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from api.generate_docs import EXAMPLES, page
from core.evaluation.predictions import publish_predictions
from core.events.results import EvaluationResult
from core.events.types import EvaluationData, StageData
from core.sample import write_sample
from core.storage.rundir import RunDir
from core.tokenizer.learning import new_tokenizer, new_trainer
from jobs.short_tasks import claim_short_task, create_short_task, succeed_short_task
from tests.api.routes import routes
from tests.api.short import ShortWorker

ROOT = Path(__file__).resolve().parents[2]
ANSWERS = {
    "generate": {"text": "Once"},
    "surprisal": {"texts": []},
    "encode": {"tokens": []},
}
REPORT = {
    **{"repository": "user/small", "track": "strict-small", "checkpoint": "last"},
    **{"words_seen": 210, "cache": "models--user--small", "complete": False},
    **{"revisions": [], "not_reached": [], "missing": [], "differences": [], "warnings": []},
}


def test_each_call_has_an_example_and_no_example_is_left_over():
    assert {str(route) for route in routes()} == set(EXAMPLES)


def test_the_page_is_not_stale():
    written = (ROOT / "docs" / "api.md").read_text()
    assert page() == written, "python -m api.generate_docs > docs/api.md"


def _tokenizer() -> bytes:
    tokenizer = new_tokenizer()
    tokenizer.train_from_iterator([], trainer=new_trainer(260, 1))
    return tokenizer.to_str().encode()


PAIR = b'{"sentence_good": "The dogs run.", "sentence_bad": "The dogs runs."}\n'
SENT = {
    "corpus.txt": lambda: b"some text\n",
    "pairs.jsonl": lambda: PAIR,
    "tokenizer.json": _tokenizer,
}
"""The content of the files that the examples send."""


def parsed(command: str) -> dict:
    """The request that curl would send, for the options that occur on the page."""
    words = iter(shlex.split(command.replace("\\\n", "")))
    assert next(words) == "curl"
    request: dict = {"method": "GET", "headers": {}, "content": None}
    for word in words:
        if word == "-X":
            request["method"] = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            request["headers"][name] = value
        elif word == "-d":
            request["content"] = next(words)
            if request["method"] == "GET":
                request["method"] = "POST"
            json.loads(request["content"])
        elif word == "-T":
            request["content"] = SENT[next(words)]()
        elif word == "-I":
            request["method"] = "HEAD"
        elif word in ("-C", "-o"):
            next(words)
        elif word not in ("-N", "-O"):
            assert "url" not in request, word
            request["url"] = word
    return request


@pytest.fixture
def job(world, settings, request):
    """A job in the status that an example needs, with a checkpoint and a tokenizer."""
    write_sample(settings.data_dir, target_bytes=20_000)
    tasks = settings.data_dir / "evaluations"
    (tasks / "minimal_pairs").rename(tasks / "blimp")
    (settings.data_dir / "mine").mkdir()
    (settings.data_dir / "mine" / "corpus.txt").write_text("text\n")
    job_id = world.running(track="strict-small")
    world.checkpoint(job_id, files={"config.json": b"{}"})
    world.metrics(job_id, 3, train__loss=1.0)
    for stage in ("clean", "tokenizer"):
        counts = {"vocab_size": 300}
        world.record(job_id, StageData(stage=stage, state="finished", counts=counts))
    return job_id


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_command_of_the_page_works(client, world, settings, job, name):
    command = EXAMPLES[name]
    if name.endswith("/files") and name.startswith("POST"):
        (settings.data_dir / "mine" / "corpus.txt").unlink()
    if name == "DELETE /v1/tokenizer-files/{name}":
        client.post("/v1/tokenizer-files/mine", content=_tokenizer())
    if name.endswith("/resume"):
        client.post(f"/v1/jobs/{job}/pause")
    elif name.endswith("/retry"):
        world.end(job, "failed")
    elif name == "DELETE /v1/jobs/{job_id}" or name.endswith(("/stream", "/logs")):
        world.end(job)
    world.worker("train")
    if "$EVALUATION" in command:
        command = command.replace("$EVALUATION", _evaluated(client, settings, world, job))
    if "/submission" in name and not name.startswith("POST"):
        _submitted(world, settings, job)
    if "$STUDY" in command:
        study = client.post("/v1/studies", json={"preset": "sample"}).json()["id"]
        if name.startswith("DELETE") or name.endswith("/resume"):
            client.post(f"/v1/studies/{study}/cancel").raise_for_status()
        command = command.replace("$STUDY", study)
    if "$WEBHOOK" in command:
        command = _with_webhook(client, command)
    request = parsed(command.replace("$JOB", job).replace("$URL", "http://localhost"))
    parts = urlsplit(request.pop("url"))
    with ShortWorker(world, _answer):
        answer = client.request(**request, url=f"{parts.path}?{parts.query}")
    assert answer.status_code < 300, answer.text
    method, path = name.split(" ")
    assert request["method"] == method
    assert _fits(path, parts.path), (path, parts.path)


def _submitted(world, settings, job) -> None:
    """Records a finished submission of one file."""
    request = {"repository": "user/small", "checkpoint": "last"}
    with world.database.write() as session:
        task = create_short_task(session, kind="submission", job_id=job, request=request)
        claim_short_task(session, "worker-1")
        succeed_short_task(session, task.id, 1, REPORT)
        folder = RunDir(settings.job_folder(job)).submissions / task.id
    folder.mkdir(parents=True)
    (folder / "report.json").write_text("{}")
    file = {"path": "report.json", "size": 2, "sha256": sha256(b"{}").hexdigest()}
    (folder / "manifest.json").write_text(json.dumps({"files": [file], "links": []}))


def _with_webhook(client, command: str) -> str:
    """The command with the ids of a webhook and of a delivery."""
    body = {"url": "https://hooks.invalid"}
    webhook = client.post("/v1/webhooks", json=body).json()["id"]
    delivery = client.post(f"/v1/webhooks/{webhook}/test").json()["id"]
    return command.replace("$WEBHOOK", webhook).replace("$DELIVERY", delivery)


def _evaluated(client, settings, world, job) -> str:
    """The id of an evaluation with predictions."""
    result = EvaluationResult(score=1.0, strict_score=1.0, pairs=1, seconds=1.0, paradigms=[])
    world.record(
        job,
        EvaluationData(
            step=3, checkpoint="last", task="blimp", scores=result.scores(), result=result
        ),
    )
    file = RunDir(settings.job_folder(job)).predictions("last", "blimp")
    publish_predictions(file, {"a": {"predictions": []}})
    [found] = client.get(f"/v1/jobs/{job}/evaluations").json()["data"]
    return str(found["id"])


def _answer(session, task):
    succeed_short_task(session, task.id, task.attempt, ANSWERS.get(task.kind, {}))


def _fits(template: str, path: str) -> bool:
    left, right = template.split("/"), path.split("/")
    return len(left) == len(right) and all(
        given == wanted or wanted.startswith("{") for wanted, given in zip(left, right, strict=True)
    )
