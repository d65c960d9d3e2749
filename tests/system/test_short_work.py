"""The worker for short tasks with real processes: a report, tokens, texts and an evaluation."""

import json

import pytest

from core.sample import write_sample
from tests.system.service import running_service, tiny_spec
from tests.waiting import wait_for

pytestmark = pytest.mark.system


def test_corpus_tokenizer_and_evaluation_of_one_job(tmp_path):
    # One test and not four, because starting the service and a first job takes most of the time.
    data = tmp_path / "data"
    write_sample(data, target_bytes=200_000)
    (data / "evaluations" / "minimal_pairs").rename(data / "evaluations" / "blimp")
    with running_service(tmp_path) as service:
        cleaning = wait_for(
            lambda: _finished(service.http.get("/v1/datasets/sample").json()["cleaning"]),
            what="report of cleaning",
        )
        assert cleaning["status"] == "succeeded", cleaning
        assert all(
            source["dropped"] for name, source in cleaning["sources"].items() if "bnc" in name
        )
        job = service.submit(tiny_spec(max_steps=20, sample_prompts=[]))
        job = service.wait(job["id"])
        assert job["status"] == "succeeded", job
        base = f"/v1/jobs/{job['id']}"
        stages = [event["data"] for event in service.events(job["id"]) if event["type"] == "stage"]
        clean = next(s for s in stages if s["stage"] == "clean" and s["state"] == "finished")
        assert clean["counts"]["train"]["words"] == cleaning["words"]
        answer = service.http.post(f"/v1/tokenizers/{job['id']}/encode", json={"text": "The dogs"})
        assert "".join(token["text"] for token in answer.json()["tokens"]) == "The dogs"
        [listed] = service.http.get("/v1/tokenizers").json()["data"]
        assert listed["validation"]["tokens_per_word"] > 1.0
        asked = service.http.post(f"{base}/checkpoints/last/evaluations", json={"task": "blimp"})
        assert asked.status_code == 202
        # Quick tasks run between two slices of the evaluation.
        text = service.http.post(f"{base}/checkpoints/last/generate", json={"max_new_tokens": 3})
        assert text.status_code == 200
        body = {"prompt": "The dog", "max_new_tokens": 30}
        streamed = service.http.post(f"{base}/checkpoints/last/generate/stream", json=body).text
        last = json.loads(streamed.strip().split("data:")[-1])
        whole = service.http.post(f"{base}/checkpoints/last/generate", json=body).json()
        assert (last["text"], last["done"]) == (whole["text"], True)
        pair = {"texts": ["The dogs run.", "The dogs runs."], "alternatives": 3}
        scored = service.http.post(f"{base}/checkpoints/last/surprisal", json=pair).json()["texts"]
        assert ["".join(t["text"] for t in text["tokens"]) for text in scored] == pair["texts"]
        found = wait_for(
            lambda: _finished(service.http.get(f"{base}/evaluations").json()["data"][0]),
            what="evaluation",
        )
        assert found["status"] == "succeeded", found
        files = list((data / "evaluations" / "blimp").glob("*.jsonl"))
        assert found["pairs"] == sum(len(file.read_text().splitlines()) for file in files)
        assert 0.0 < found["score"] <= 1.0
        series = service.http.get(f"{base}/metrics?names=evaluation/blimp").json()["series"]
        assert series["evaluation/blimp"]["value"] == [found["score"]]
        assert series["evaluation/blimp"]["step"] == [20]
        assert json.dumps(found["paradigms"]).count('"name"') == len(files)


def _finished(entry: dict) -> dict | None:
    return entry if entry["status"] in ("succeeded", "failed") else None
