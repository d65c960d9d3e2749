"""Evaluates a checkpoint on a task in time slices.

Each slice saves the sums of log-probabilities to a file, from which the next slice or an
interrupted evaluation continues. The file is ignored if the task files or the tokenizer have
changed.
"""

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from transformers import PreTrainedModel

from core.evaluation.engine import batch_tokens, batches, log_probabilities, may_pack
from core.evaluation.prepared import PreparedTask, PreparedTasks
from core.evaluation.rows import LONGEST_ROW
from core.evaluation.summary import Summary
from core.storage.rundir import publish_file
from core.training.model.moe.experts import use_sparse_experts


class Evaluation:
    """The evaluation of one checkpoint on one task.

    Attributes:
        done: Number of finished rows. Rows are computed in ascending order of length.
        seconds: Computing time in seconds so far.
    """

    def __init__(self, task: PreparedTask, partial: Path) -> None:
        self._task = task
        self._partial = partial
        self._sums = np.zeros(task.contents.num_slots)  # (slots,) float64
        self.done = 0
        self.seconds = 0.0
        self._load()

    @property
    def share(self) -> float:
        """Finished share of the rows, from 0 to 1."""
        return self.done / len(self._task.rows) if self._task.rows else 1.0

    def advance(
        self,
        model: PreTrainedModel,
        *,
        seconds: float,
        tokens: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> float:
        """Continues for about `seconds`, but at least for one batch; returns the finished share.

        Args:
            model: In evaluation mode.
            seconds: Length of the slice in seconds.
            tokens: Maximum number of tokens in a batch; by default `batch_tokens` of the model.
            clock: Returns the time in seconds.
        """
        began = clock()
        rows = self._task.rows
        for batch in batches(rows, begin=self.done, tokens=tokens or batch_tokens(model)):
            values = log_probabilities(model, batch)
            slots = np.concatenate([np.asarray(row.slots, dtype=np.intp) for row in batch])
            np.add.at(self._sums, slots, values)
            self.done += len(batch)
            if clock() - began >= seconds:
                break
        self.seconds += clock() - began
        self._save()
        return self.share

    @property
    def sums(self) -> list[float]:
        """Sum of each slot (see `core.evaluation.prepared`) so far, in nats."""
        found: list[float] = self._sums.tolist()
        return found

    def finish(self) -> Summary:
        """The result and the predictions. All rows must be finished."""
        assert self.done == len(self._task.rows)
        return self._task.contents.summary(self.sums, seconds=self.seconds)

    def forget(self) -> None:
        """Removes the file with the sums."""
        self._partial.unlink(missing_ok=True)

    def _save(self) -> None:
        buffer = io.BytesIO()
        np.savez(
            buffer,
            fingerprint=np.array(self._task.fingerprint),
            done=np.array(self.done),
            seconds=np.array(self.seconds),
            sums=self._sums,
        )
        self._partial.parent.mkdir(parents=True, exist_ok=True)
        publish_file(self._partial, buffer.getvalue())

    def _load(self) -> None:
        try:
            with np.load(self._partial, allow_pickle=False) as saved:
                if str(saved["fingerprint"]) != self._task.fingerprint:
                    return
                self._sums, self.done = saved["sums"], int(saved["done"])
                self.seconds = float(saved["seconds"])
        except (OSError, ValueError, KeyError, BadZipFile, EOFError):
            return  # the file is missing or unreadable: start from the beginning


def prepare(
    tasks: PreparedTasks,
    model: PreTrainedModel,
    tokenizer: Any,  # Any, because tokenizers share no type in transformers 4 and 5
    task: Path,
) -> PreparedTask:
    """The task for a model and its tokenizer.

    If the model has experts, they are replaced by sparse experts, which give the same values.

    Raises:
        EvaluationInvalid: If a file is missing or cannot be read.
    """
    use_sparse_experts(model)
    return tasks.get(task, tokenizer, packs=may_pack(model, LONGEST_ROW))
