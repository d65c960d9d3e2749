"""Evaluates a checkpoint on one task without interruption, for benchmarks."""

import tempfile
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from core.evaluation.prepared import PreparedTask, PreparedTasks
from core.evaluation.slices import Evaluation, prepare

SLICE_SECONDS = 60.0


def evaluated(
    model: PreTrainedModel,
    tokenizer: Any,  # Any, because tokenizers share no type in transformers 4 and 5
    task: Path,
) -> tuple[Evaluation, PreparedTask]:
    """The finished evaluation, and the task that it used."""
    prepared = prepare(PreparedTasks(), model, tokenizer, task)
    with tempfile.TemporaryDirectory() as folder:
        evaluation = Evaluation(prepared, Path(folder) / "partial.npz")
        while evaluation.share < 1.0:
            evaluation.advance(model, seconds=SLICE_SECONDS)
    return evaluation, prepared
