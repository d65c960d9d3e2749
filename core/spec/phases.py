"""Schedules that change the sequence length and the batch size during a run.

A phase is a part of a run in which all steps have the same sequence length and batch size. A phase
ends at the end of an epoch, so that every epoch predicts each token once and words are counted
exactly. This module does not import torch.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

ENTRY = re.compile(r"(\d{1,5}) until (0?\.\d{1,4})")
MAX_ENTRIES = 4
"""Maximum number of entries of a schedule. It is small because layers are compiled for each
shape."""


@dataclass(frozen=True)
class EpochPhase:
    """A phase. `begin` is the number of epochs before it."""

    begin: int
    seq_length: int
    batch_size: int


def require_schedule(name: str, entries: Sequence[str], *, epochs: float) -> None:
    """Checks the form of a schedule, and that its shares, rounded to whole epochs, increase.

    Raises:
        ValueError: If an entry is invalid.
    """
    end = 0
    for entry in entries:
        found = ENTRY.fullmatch(entry)
        if found is None:
            raise ValueError(
                f'{entry!r} is not of the form "VALUE until SHARE", such as "64 until 0.3"'
            )
        now = _end(found[2], epochs)
        if now <= end or now >= epochs:
            raise ValueError(
                f"{entry!r} ends after epoch {now} of {epochs:g}: shares are rounded to whole "
                f"epochs, which must rise and lie between the first and the last; change the share "
                f"or remove the entry of {name}"
            )
        end = now


def values(entries: Sequence[str]) -> list[int]:
    """The values of a valid schedule."""
    return [int(entry.partition(" ")[0]) for entry in entries]


def epoch_phases(
    *,
    epochs: float,
    seq_length: int,
    batch_size: int,
    seq_length_schedule: Sequence[str],
    batch_size_schedule: Sequence[str],
) -> list[EpochPhase]:
    """The phases of a run. The last phase ends with the run."""
    lengths = _ends(seq_length_schedule, epochs)
    sizes = _ends(batch_size_schedule, epochs)
    begins = sorted({0, *lengths, *sizes})
    return [
        EpochPhase(begin, _value(lengths, begin, seq_length), _value(sizes, begin, batch_size))
        for begin in begins
    ]


def _ends(entries: Sequence[str], epochs: float) -> dict[int, int]:
    """The values of a schedule by the epoch at which each value ends, in ascending order."""
    return {
        _end(entry.rpartition(" ")[2], epochs): value
        for entry, value in zip(entries, values(entries), strict=True)
    }


def _end(share: str, epochs: float) -> int:
    return round(float(share) * epochs)


def _value(by_end: dict[int, int], epoch: int, default: int) -> int:
    return next((value for end, value in by_end.items() if epoch < end), default)
