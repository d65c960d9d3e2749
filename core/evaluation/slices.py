"""A checkpoint evaluated on a task, in slices that an interrupted evaluation continues from.

The sums so far are in a file, which the next slice continues from; it counts only if it belongs to
the same files and the same tokenizer.
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
from core.evaluation.summary import Summary
from core.storage.rundir import publish_file

LONGEST_PACKED = 4096
"""Rows up to this length are packed; `may_pack` decides for the model."""


class Evaluation:
    """One checkpoint on one task.

    Attributes:
        done: Rows that are finished, in ascending order of length.
        seconds: Computing time so far.
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
        """Of the work that is done, from 0 to 1."""
        return self.done / len(self._task.rows) if self._task.rows else 1.0

    def advance(
        self,
        model: PreTrainedModel,
        *,
        seconds: float,
        tokens: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> float:
        """Continues for about `seconds`, for one batch at least; returns the share that is done.

        Args:
            model: In evaluation mode.
            seconds: How long.
            tokens: In a batch; by default what suits the device.
            clock: Tells the time.
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
        """Of each slot so far, in nats."""
        found: list[float] = self._sums.tolist()
        return found

    def finish(self) -> Summary:
        """Result and predictions once all is done."""
        assert self.done == len(self._task.rows)
        return self._task.contents.summary(self.sums, seconds=self.seconds)

    def forget(self) -> None:
        """Removes the file of the sums."""
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
            return  # none yet, or of another version: from the start


def prepare(
    tasks: PreparedTasks,
    model: PreTrainedModel,
    tokenizer: Any,  # Any: transformers' tokenizers share no public type in 4 and 5
    task: Path,
) -> PreparedTask:
    """The task for a model and its tokenizer.

    Raises:
        EvaluationInvalid: If a file is missing or cannot be read.
    """
    return tasks.get(task, tokenizer, packs=may_pack(model, LONGEST_PACKED))
