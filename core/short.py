"""The program of the short worker: answers requests and keeps recently used models in memory.

    python -m core.short [PARENT]

The short worker runs short tasks, such as generating text. It starts this program and sends the
requests. The program reads one request per line of standard input and writes one answer per line of
standard output, both as JSON. It exits at the end of the input, and if the worker with the process
id PARENT dies. If a request takes longer than its `slice_seconds`, the answer contains the state of
the work, and the caller sends the request again with this state. For a `generate` request with
`stream`, the program also writes lines with `partial` before the answer. A large module is imported
when the first request needs it.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from core.corpus.summary import CleanReports
from core.errors import CheckpointMissing, RunError
from core.events.paths import shorten_paths
from core.process.loading import loading
from core.spec.text_requests import EncodeOptions, GenerateOptions, SurprisalOptions
from core.storage.rundir import RunDir

if TYPE_CHECKING:
    from core.checkpoints.generate import WarmModels
    from core.evaluation.prepared import PreparedTasks

Json = dict[str, Any]
"""A JSON object with values of any type."""
PARENT_SECONDS = 0.2
"""Seconds between two checks whether the worker still runs."""


class Request(BaseModel):
    """A request. Its answer has the same id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str


class GenerateRequest(Request, GenerateOptions):
    """Continues a prompt with a checkpoint."""

    kind: Literal["generate"]
    checkpoint_dir: Path
    stream: bool = False
    """Whether to write the unfinished text as partial answers while the model generates it."""


class SurprisalRequest(Request, SurprisalOptions):
    """Scores each token of a few texts with a checkpoint."""

    kind: Literal["surprisal"]
    checkpoint_dir: Path


class EncodeRequest(Request, EncodeOptions):
    """Splits a text into tokens."""

    kind: Literal["encode"]
    tokenizer_dir: Path


class EvaluateRequest(Request):
    """Evaluates a checkpoint on a task."""

    kind: Literal["evaluate"]
    checkpoint_dir: Path
    task_dir: Path
    predictions_file: Path
    """File to which the predictions are written. A file in the same folder keeps the results of an
    unfinished evaluation."""
    state: Json | None = None
    slice_seconds: float = Field(gt=0.0)


class CleanReportRequest(Request):
    """Cleans a dataset with the default options and reports what cleaning changes."""

    kind: Literal["clean_report"]
    dataset_dir: Path
    cache_dir: Path
    state: Json | None = None
    slice_seconds: float = Field(gt=0.0)


class SubmissionRequest(Request):
    """Builds the folder of a submission; see `core.export.submission.build`."""

    kind: Literal["submission"]
    run_dir: Path
    data_dir: Path
    output_dir: Path
    repository: str
    checkpoint: str
    scores: dict[str, float]
    state: Json | None = None
    slice_seconds: float = Field(gt=0.0)


OneRequest = (
    GenerateRequest
    | SurprisalRequest
    | EncodeRequest
    | EvaluateRequest
    | CleanReportRequest
    | SubmissionRequest
)
AnyRequest: TypeAdapter[OneRequest] = TypeAdapter(OneRequest)


class RequestHandler:
    """Answers requests one at a time; calls `report` with partial answers."""

    def __init__(self, report: Callable[[Json], None] = lambda _: None) -> None:
        self._report = report
        self._models: WarmModels | None = None
        self._tasks: PreparedTasks | None = None
        self._reports = CleanReports()

    def answer(self, line: str) -> Json:
        """The answer to one line of input; errors are returned as answers."""
        try:
            request = AnyRequest.validate_json(line)
        except ValidationError as error:
            return {"id": _id_of(line), "error": _problem("request_invalid", str(error), "")}
        try:
            answer = self._answer(request)
        except RunError as error:
            answer = {"error": _problem(error.code, error.message, error.hint)}
        except Exception as error:  # one failed request must not end the process
            message = f"{type(error).__name__}: {error}"
            answer = {"error": _problem("internal_error", message, "")}
        return {"id": request.id, **answer}

    def _answer(self, request: OneRequest) -> Json:
        match request:
            case GenerateRequest():
                return self._generate(request)
            case SurprisalRequest():
                return self._surprisal(request)
            case EncodeRequest():
                return encode_text(request.tokenizer_dir, request.text)
            case EvaluateRequest():
                return self._evaluate(request)
            case CleanReportRequest():
                return self._reports.look(
                    request.dataset_dir, request.cache_dir, seconds=request.slice_seconds
                )
            case SubmissionRequest():
                return _submission(request)

    def _warm(self) -> "WarmModels":
        with loading("torch"):
            from core.checkpoints.generate import WarmModels

        if self._models is None:
            self._models = WarmModels()
        return self._models

    def _generate(self, request: GenerateRequest) -> Json:
        from core.checkpoints.generate import continue_text

        model, tokenizer = self._warm().load(request.checkpoint_dir)
        options = request.model_dump(exclude={"id", "kind", "checkpoint_dir", "prompt", "stream"})
        if request.stream:
            options["on_text"] = lambda text: self._report(
                {"id": request.id, "partial": {"text": text}}
            )
        return {"text": continue_text(model, tokenizer, request.prompt, **options)}

    def _surprisal(self, request: SurprisalRequest) -> Json:
        from core.checkpoints.surprisal import text_surprisal

        model, tokenizer = self._warm().load(request.checkpoint_dir)
        count = request.alternatives
        texts = [text_surprisal(model, tokenizer, t, alternatives=count) for t in request.texts]
        return {"texts": texts}

    def _evaluate(self, request: EvaluateRequest) -> Json:
        with loading("torch"):
            from core.evaluation.predictions import publish_predictions
            from core.evaluation.prepared import PreparedTasks
            from core.evaluation.slices import Evaluation, prepare

        if self._tasks is None:
            self._tasks = PreparedTasks()
        model, tokenizer = self._warm().load(request.checkpoint_dir)
        prepared = prepare(self._tasks, model, tokenizer, request.task_dir)
        partial = request.predictions_file.with_name(f"partial-{request.id}.npz")
        evaluation = Evaluation(prepared, partial)
        if evaluation.advance(model, seconds=request.slice_seconds) < 1.0:
            return {"state": {"rows": evaluation.done}, "progress": evaluation.share}
        summary = evaluation.finish()
        publish_predictions(request.predictions_file, summary.predictions)
        evaluation.forget()
        return summary.result.model_dump()


def _submission(request: SubmissionRequest) -> Json:
    with loading("torch"):
        from core.export.submission.build import Submission, advance_submission

    submission = Submission(
        rundir=RunDir(request.run_dir),
        data_dir=request.data_dir,
        repository=request.repository,
        checkpoint=request.checkpoint,
        folder=request.output_dir,
        scores=request.scores,
    )
    return advance_submission(submission, request.state, seconds=request.slice_seconds)


def encode_text(folder: Path, text: str) -> Json:
    """The tokens of a text: ids, vocabulary entries and character spans.

    Raises:
        CheckpointMissing: If the folder contains no tokenizer.
    """
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise CheckpointMissing(
            "the job has no tokenizer yet", hint="Wait until its stage tokenizer is finished."
        )
    encoding = Tokenizer.from_file(str(path)).encode(text, add_special_tokens=False)
    tokens = [
        {"id": number, "piece": piece, "text": text[start:end], "start": start, "end": end}
        for number, piece, (start, end) in zip(
            encoding.ids, encoding.tokens, encoding.offsets, strict=True
        )
    ]
    return {"tokens": tokens}


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answers each line of `requests` until its end."""

    def write(answer: Json) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    handler = RequestHandler(report=write)
    for line in requests:
        if line.strip():
            write(handler.answer(line))


def exit_with_parent(parent: int) -> None:
    """Starts a thread that ends this process if its parent dies, even during a request.

    The task of a killed worker is queued again. Without this check, the old process and the process
    of the next worker could write the same files at the same time.

    Args:
        parent: Process id of the parent. The parent passes its own id, because it may die before
            this process can read the id.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _id_of(line: str) -> str | None:
    try:
        request = json.loads(line)
    except ValueError:
        return None
    return str(request.get("id")) if isinstance(request, dict) else None


def _problem(code: str, message: str, hint: str) -> dict[str, str]:
    return {"code": code, "message": shorten_paths(message)[:2000], "hint": hint}


if __name__ == "__main__":
    exit_with_parent(int(sys.argv[1]) if sys.argv[1:] else os.getppid())
    serve(sys.stdin, sys.stdout)
