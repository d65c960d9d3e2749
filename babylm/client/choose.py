"""Chooses the checkpoints that a command works on."""

from collections.abc import Sequence

from babylm.client.errors import BabylmError
from babylm.client.wire import Checkpoint


def choose_checkpoint(checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """The checkpoint `last`, or else the checkpoint of the latest step.

    Raises:
        BabylmError: If the job has no checkpoint.
    """
    if not checkpoints:
        raise BabylmError("the job has no checkpoint yet")
    by_name = {checkpoint["name"]: checkpoint for checkpoint in checkpoints}
    return by_name.get("last") or max(checkpoints, key=lambda checkpoint: checkpoint["step"])


def choose_milestones(checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """The milestones (checkpoints at certain numbers of words) in order of step, then `last`.

    Raises:
        BabylmError: If the job has no milestone.
    """
    found = [checkpoint for checkpoint in checkpoints if checkpoint["kind"] == "milestone"]
    if not found:
        raise BabylmError(
            "the job has no milestone",
            hint="Milestones are kept for the tracks strict-small and strict, from 1M words on.",
        )
    last = [checkpoint for checkpoint in checkpoints if checkpoint["name"] == "last"]
    return sorted(found, key=lambda checkpoint: checkpoint["step"]) + last
