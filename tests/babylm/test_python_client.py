"""The Python client, synchronous and with asyncio: the same calls against the same service."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from babylm import AsyncClient, BabylmError, Client, JobFailed, ServiceError
from babylm.client.fields import with_fields
from babylm.client.metrics import Metrics
from babylm.client.plot import plot_series
from babylm.client.view import bar_html
from babylm.generate_sync import modules
from babylm.options import open_client
from core.process.program import ROOT
from tests.babylm.stub import Answer, Stub, problem, ranged, stream

JOB = {"id": "f" * 32, "name": "tiny <b>", "status": "running", "progress": 0.5, "spec": {}}
BASE = f"/v1/jobs/{JOB['id']}"
CONTENT = b"weights"
SERIES = {
    "train/loss": {"step": [1, 2, 3], "value": [3.0, None, 2.0]},
    "validation/loss": {"step": [2], "value": [2.5]},
}
for _each in SERIES.values():
    _each |= {name: [float(step) for step in _each["step"]] for name in ("epoch", "time")}
    _each |= {name: [step * 10 for step in _each["step"]] for name in ("tokens_seen", "words_seen")}
EVENTS = [
    {"seq": 1, "type": "metrics", "data": {"step": 1, "values": {"train/loss": 3.0}}},
    {"seq": 2, "type": "status", "data": {"status": "succeeded", "attempt": 1}},
]


def serve_job(stub: Stub, **changes: object) -> None:
    from hashlib import sha256

    job = JOB | {"status": "succeeded", "progress": 1.0} | changes
    file = {"path": "model.bin", "size": len(CONTENT), "sha256": sha256(CONTENT).hexdigest()}
    checkpoints = [
        {"name": "best-000003", "kind": "best", "step": 3, "files": [file], "validation_loss": 2.5},
        {"name": "last", "kind": "last", "step": 4, "files": [file], "validation_loss": None},
    ]
    stub.routes |= {
        "POST /v1/jobs": Answer(201, JOB),
        f"GET {BASE}": Answer(200, job),
        f"GET {BASE}/events/stream": stream(*EVENTS),
        f"GET {BASE}/events": Answer(200, {"data": []}),
        f"GET {BASE}/metrics": Answer(200, {"series": SERIES}),
        f"GET {BASE}/checkpoints": Answer(200, {"data": checkpoints}),
        f"GET {BASE}/checkpoints/best-000003/files/model.bin": ranged(CONTENT),
        f"POST {BASE}/checkpoints/best-000003/generate": Answer(200, {"text": " runs"}),
        f"POST {BASE}/pause": Answer(202, JOB | {"status": "paused"}),
    }


def test_the_synchronous_client_is_the_generated_one():
    for path, content in modules().items():
        assert path.read_text() == content, f"python -m babylm.generate_sync ({path.name})"


def test_from_submit_to_a_checkpoint(stub, tmp_path):
    serve_job(stub)
    with Client(stub.url) as client:
        job = client.submit(preset="sample", training={"seed": 1})
        assert stub.requests[0].body == {"preset": "sample", "training": {"seed": 1}}
        assert [event["seq"] for event in job.follow()] == [1, 2]
        assert job.wait().status == "succeeded"
        assert job.pause().status == "paused"
        best = job.checkpoints["best"]
        assert (best.name, best.step, best.validation_loss) == ("best-000003", 3, 2.5)
        assert best.generate("The dog", seed=1) == "The dog runs"
        folder = best.download(tmp_path / "model")
        assert (folder / "model.bin").read_bytes() == CONTENT
        assert next(iter(job.metrics("train/loss")["train/loss"])) == 3.0
        assert "training loss" in job.plot().svg


def test_the_same_with_asyncio(stub, tmp_path):
    serve_job(stub)

    async def use() -> None:
        async with AsyncClient(stub.url) as client:
            job = await client.submit(preset="sample", training={"seed": 1})
            assert [event["seq"] async for event in job.follow()] == [1, 2]
            assert (await job.wait()).status == "succeeded"
            assert (await job.pause()).status == "paused"
            best = (await job.checkpoints())["best"]
            assert await best.generate("The dog", seed=1) == "The dog runs"
            folder = await best.download(tmp_path / "model")
            assert (folder / "model.bin").read_bytes() == CONTENT
            assert next(iter((await job.metrics("train/loss"))["train/loss"])) == 3.0
            assert "training loss" in (await job.plot()).svg

    asyncio.run(use())


def test_two_jobs_are_awaited_at_the_same_time(stub):
    serve_job(stub)

    async def use() -> list[str]:
        async with AsyncClient(stub.url) as client:
            jobs = [await client.submit(preset="sample") for _ in range(2)]
            return [job.status for job in await asyncio.gather(*(job.wait() for job in jobs))]

    assert asyncio.run(use()) == ["succeeded", "succeeded"]


def test_a_failed_job_is_an_exception_with_code_message_and_hint(stub):
    error = {"code": "corpus_empty", "message": "a.train is empty", "hint": "Leave it out."}
    serve_job(stub, status="failed", error=error)
    with Client(stub.url) as client, pytest.raises(JobFailed) as raised:
        client.submit(preset="sample").wait()
    failure = raised.value
    assert (failure.code, failure.hint) == ("corpus_empty", "Leave it out.")
    assert (failure.job_id, failure.job_status) == (JOB["id"], "failed")
    assert "a.train is empty" in failure.message
    assert "hint: Leave it out." in str(failure)


def test_a_refusal_has_the_code_of_the_service(stub, client):
    stub.routes["POST /v1/jobs"] = problem(422, "not valid", code="request_invalid", hint="Fix it.")
    with pytest.raises(ServiceError) as refused:
        client.submit(preset="sample")
    assert (refused.value.code, refused.value.status_code) == ("request_invalid", 422)
    assert refused.value.hint == "Fix it."


def test_an_unknown_checkpoint_is_named_with_those_that_exist(stub, client):
    serve_job(stub)
    checkpoints = client.submit(preset="sample").checkpoints
    with pytest.raises(BabylmError, match="best-000003, last"):
        checkpoints["chck_1M"]
    assert "chck" not in checkpoints
    assert "loss 2.5000" in checkpoints._repr_html_()


def test_sections_are_merged_into_a_spec_without_changing_it():
    spec = {"preset": "sample", "training": {"epochs": 2, "seed": 0}}
    given = {"training": {"seed": 1}, "name": "mine", "model": None}
    expected = {"preset": "sample", "training": {"epochs": 2, "seed": 1}, "name": "mine"}
    assert with_fields(spec, given) == expected
    assert spec["training"] == {"epochs": 2, "seed": 0}


def test_metrics_are_a_table_by_step():
    table = Metrics(SERIES)
    assert table.steps == [1, 2, 3]
    assert table["train/loss"] == [3.0, None, 2.0]
    assert table["validation/loss"] == [None, 2.5, None]
    assert table["words_seen"] == [10, 20, 30]
    assert next(iter(table)) | {"epoch": 0} == {
        **{"step": 1, "train/loss": 3.0, "validation/loss": None},
        **{"epoch": 0, "tokens_seen": 10, "words_seen": 10},
    }
    assert "<td>2.5000</td>" in table._repr_html_()


def test_a_plot_is_a_document_that_a_parser_reads(tmp_path):
    from xml.etree import ElementTree

    plot = plot_series(SERIES, title="a <b> & c")
    root = ElementTree.fromstring(plot.save(tmp_path / "loss.svg").read_text())
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "a <b> & c"
    assert {"training loss", "validation loss", "step"} <= set(texts)
    assert "no values" in plot_series({}, title="x").svg
    flat = {"train/loss": SERIES["validation/loss"]}
    ElementTree.fromstring(plot_series(flat, title="one point").svg)


def test_notebook_views_escape_text_from_the_service(stub, client):
    serve_job(stub)
    html = client.submit(preset="sample")._repr_html_()
    assert "tiny &lt;b&gt;" in html
    assert "<b>" not in html + bar_html(0.5, "<b>", "<i>")


def test_the_client_finds_a_service_by_environment(stub, monkeypatch, tmp_path):
    stub.routes["GET /v1/presets"] = Answer(200, {"data": []})
    monkeypatch.setenv("BABYLM_URL", stub.url)
    monkeypatch.setenv("BABYLM_API_KEY", "first,second")
    with Client() as client:
        assert client.presets() == []
    assert stub.requests[-1].headers["authorization"] == "Bearer first"


def test_the_key_of_the_environment_reaches_only_the_service_of_the_environment(
    stub, monkeypatch, tmp_path
):
    stub.routes["GET /v1/presets"] = Answer(200, {"data": []})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BABYLM_API_KEY", "secret")

    def key_at(url, **given):
        sent = []
        for client in (Client(url, **given), *([] if given else [open_client(url)])):
            with client:
                client.presets()
            sent.append(stub.requests[-1].headers.get("authorization"))
        (only,) = set(sent)
        return only

    monkeypatch.setenv("BABYLM_URL", "https://gpu.example.org")
    assert key_at(stub.url) is None
    assert key_at(stub.url, api_key="other") == "Bearer other"
    monkeypatch.setenv("BABYLM_URL", f"{stub.url}/")
    assert key_at(None) == key_at(stub.url) == "Bearer secret"
    assert key_at(stub.url, api_key="") is None
    monkeypatch.delenv("BABYLM_URL")
    monkeypatch.setenv("BABYLM_PORT", stub.url.rpartition(":")[2])
    assert key_at(stub.url) == "Bearer secret"
    monkeypatch.setenv("BABYLM_PORT", "1")
    assert key_at(stub.url) is None


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"BABYLM_PORT": "9000"}, "http://127.0.0.1:9000"),
        ({"BABYLM_HOST": "::", "BABYLM_PORT": ""}, "http://[::1]:8000"),
        ({"BABYLM_SOCKET": "/run/b.sock", "BABYLM_PORT": "9000"}, "unix:/run/b.sock"),
        ({"BABYLM_SOCKET": "/run/b.sock", "BABYLM_URL": "http://gpu:1"}, "http://gpu:1"),
    ],
)
def test_the_client_and_the_commands_find_the_same_service(
    environment, address, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BABYLM_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with Client() as client, open_client(os.environ.get("BABYLM_URL")) as command:
        assert (client.url, command.url) == (address, address)


OURS = ("core", "jobs", "api", "worker", "migrations", "dashboard", "chaos", "cli", "benchmarks")
USE = """
import sys
from babylm import Client, AsyncClient, Job
with Client({url!r}) as client:
    job = client.submit(preset="sample").wait()
    job.metrics(), job.plot(), job.checkpoints["best"].download()
heavy = {{"torch", "transformers", "numpy", "pydantic", "sqlalchemy", "typer", "pandas"}}
print(sorted(heavy & set(sys.modules)), sorted(set({ours!r}) & set(sys.modules)))
"""


def test_the_client_ignores_user_files_with_the_names_of_our_packages(stub, tmp_path):
    serve_job(stub)
    for name in OURS:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')")
    (tmp_path / "code.py").write_text(USE.format(url=stub.url, ours=OURS))
    # As in a notebook: the working folder comes first on the import path.
    done = subprocess.run(
        [sys.executable, "-c", "exec(open('code.py').read())"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "[] []\n"), done.stderr
    assert next(Path(tmp_path).glob("*-best-000003/model.bin")).read_bytes() == CONTENT
