"""A checkpoint judged on a task of minimal pairs, in slices that can be gone on with.

The official score counts a tie as right, since it takes the first of two equal sentences, which is
the good one; the strict score does not. The headline is the plain mean over the paradigms.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from transformers import PreTrainedModel

from core.errors import EvaluationInvalid
from core.evaluation.scoring import BATCH_SENTENCES, sentence_scores
from core.evaluation.tasks import paradigm_files, read_paradigm
from core.events.results import EvaluationResult, ParadigmScore

PAIRS_A_BATCH = BATCH_SENTENCES // 2


class Tally(BaseModel):
    """What was counted in one paradigm."""

    model_config = ConfigDict(extra="forbid")

    phenomenon: str | None = None
    pairs: int = 0
    right: int = 0
    ties: int = 0


class SliceState(BaseModel):
    """How far an evaluation has come; everything that the next slice needs."""

    model_config = ConfigDict(extra="forbid")

    file: int = 0
    """Files that are finished."""
    pair: int = 0
    """Pairs of the next file that are finished, in the order of their length."""
    seconds: float = 0.0
    """Computing time so far."""
    tallies: dict[str, Tally] = Field(default_factory=dict)
    content: list[tuple[str, int, int]] | None = None
    """Name, bytes and time of change of each file that was counted; None in states of versions
    that did not note it."""

    def begin_again(self) -> None:
        """Drops what was counted."""
        self.file, self.pair, self.tallies = 0, 0, {}


def evaluate_slice(
    model: PreTrainedModel,
    tokenizer: Any,  # Any: transformers' tokenizers share no public type in 4 and 5
    task: Path,
    state: SliceState,
    *,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """Goes on with an evaluation for about `seconds`; returns the share that is done then.

    At least one batch is done. The scores do not depend on where slices end but for the rounding of
    batches of other shapes.

    Raises:
        EvaluationInvalid: If the task holds no pairs, or a file cannot be read.
    """
    files = paradigm_files(task)
    if not files:
        raise EvaluationInvalid(f"there is no task {task.name}, or it has no .jsonl file")
    began = clock()
    content = [_stat(path) for path in files]
    if state.content not in (None, content):
        state.begin_again()  # a score over pairs of two versions would be of neither
    state.content = content
    is_time_left = True
    while state.file < len(files) and is_time_left:
        paradigm = read_paradigm(files[state.file])
        order = sorted(paradigm.pairs, key=lambda pair: max(len(pair.good), len(pair.bad)))
        tally = state.tallies.setdefault(paradigm.name, Tally(phenomenon=paradigm.phenomenon))
        batch = order[state.pair : state.pair + PAIRS_A_BATCH]
        scores = sentence_scores(
            model, tokenizer, [pair.good for pair in batch] + [pair.bad for pair in batch]
        )
        for good, bad in zip(scores[: len(batch)], scores[len(batch) :], strict=True):
            tally.pairs += 1
            tally.right += good > bad
            tally.ties += good == bad
        state.pair += len(batch)
        if state.pair >= len(order):
            state.file, state.pair = state.file + 1, 0
        is_time_left = clock() - began < seconds
    state.seconds += clock() - began
    return _share(state, files)


def evaluation_result(state: SliceState) -> EvaluationResult:
    """The scores of an evaluation that is done."""
    paradigms = [
        ParadigmScore(
            name=name,
            phenomenon=tally.phenomenon,
            pairs=tally.pairs,
            score=(tally.right + tally.ties) / tally.pairs,
            strict_score=tally.right / tally.pairs,
        )
        for name, tally in state.tallies.items()
    ]
    return EvaluationResult(
        score=sum(each.score for each in paradigms) / len(paradigms),
        strict_score=sum(each.strict_score for each in paradigms) / len(paradigms),
        pairs=sum(each.pairs for each in paradigms),
        seconds=state.seconds,
        paradigms=paradigms,
    )


def _stat(path: Path) -> tuple[str, int, int]:
    found = path.stat()
    return path.name, found.st_size, found.st_mtime_ns


def _share(state: SliceState, files: list[Path]) -> float:
    if state.file >= len(files):
        return 1.0
    within = state.pair / len(read_paradigm(files[state.file]).pairs)
    return (state.file + within) / len(files)
