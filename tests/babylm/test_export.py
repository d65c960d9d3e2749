"""`babylm export`: downloads a checkpoint and writes it as a GGUF file."""

import hashlib
import json

import gguf
import pytest

from tests.babylm.conftest import error_of
from tests.babylm.stub import Answer
from tests.compat.cases import LLAMA4, OLMO2, Case, write_checkpoint, write_tokenizer

FILE_MODEL = OLMO2 | {"attention_bias": False, "hidden_act": "silu"}
JOB = "GET /v1/jobs/job-1"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    root = tmp_path_factory.mktemp("export")
    return write_checkpoint(Case(FILE_MODEL), write_tokenizer(root), root / "run")


def serve(stub, folder, model):
    """Serves a job with one checkpoint."""
    files = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        files.append({"path": path.name, "size": len(content), "sha256": digest})
        stub.routes[f"{JOB}/checkpoints/last/files/{path.name}"] = Answer(200, content)
    spec = {"model": Case(model).spec.model.model_dump(mode="json")}
    stub.routes[JOB] = Answer(200, {"id": "job-1", "status": "succeeded", "spec": spec})
    one = {"name": "last", "kind": "last", "step": 3, "files": files}
    stub.routes[f"{JOB}/checkpoints"] = Answer(200, {"data": [one]})


def test_a_checkpoint_of_a_job_or_a_folder_becomes_a_file(run, stub, checkpoint, tmp_path):
    serve(stub, checkpoint, FILE_MODEL)
    result = run("export", "job-1", "--json", "--url", stub.url)
    assert result.exit_code == 0, result.exception
    found = json.loads(result.stdout)
    assert (found["format"], found["checkpoint"], found["file"]) == (
        *("gguf", "last"),
        "job-1-last.gguf",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["job-1-last.gguf"]
    reader = gguf.GGUFReader(tmp_path / "job-1-last.gguf")
    assert len(reader.tensors) == found["tensors"] == 3 + 11 * FILE_MODEL["num_hidden_layers"]
    assert run("export", checkpoint, "-o", "new/folder/local.gguf").exit_code == 0
    local = gguf.GGUFReader(tmp_path / "new/folder/local.gguf")
    assert local.get_field("general.name").contents() == "last"
    assert [tensor.name for tensor in local.tensors] == [tensor.name for tensor in reader.tensors]


def test_only_an_earlier_export_is_overwritten(run, stub, checkpoint, tmp_path):
    serve(stub, checkpoint, FILE_MODEL)
    (tmp_path / "README.md").write_text("mine")
    for job in (checkpoint, "job-1"):
        error = error_of(run("export", job, "-o", "README.md", "--url", stub.url))
        assert (error.status, "is not a GGUF file" in error.message) == (2, True)
        assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
    for _ in range(2):
        assert run("export", checkpoint, "-o", "model.gguf").exit_code == 0


def test_a_file_that_cannot_be_written_is_no_fault_of_the_model(run, checkpoint, tmp_path):
    (tmp_path / "taken.gguf").mkdir()
    error = error_of(run("export", checkpoint, "-o", "taken.gguf"))
    assert error.message.startswith(f"the export of {checkpoint} failed: ")
    assert "taken.gguf" in error.message
    assert error.hint is None


def test_another_architecture_is_refused_before_the_download(run, stub, checkpoint, tmp_path):
    serve(stub, checkpoint, LLAMA4)
    error = error_of(run("export", "job-1", "--url", stub.url))
    assert error.message.startswith("llama4 cannot be exported as GGUF: llama.cpp always computes")
    assert error.hint.startswith("Download the checkpoint with `babylm download`")
    assert not [request for request in stub.requests if "/files/" in request.path]
    assert list(tmp_path.iterdir()) == []
