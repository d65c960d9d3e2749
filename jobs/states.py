"""The statuses of a job and all transitions between them."""

from typing import Literal, get_args

Status = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
FinalStatus = Literal["succeeded", "failed", "cancelled"]
Action = Literal["cancel", "pause", "resume", "retry", "delete"]
ShortStatus = Literal["queued", "running", "succeeded", "failed"]

STATUSES: tuple[Status, ...] = get_args(Status)
FINAL: frozenset[Status] = frozenset(get_args(FinalStatus))

TRANSITIONS: dict[tuple[Status, Status], str] = {
    ("queued", "running"): "a worker claimed it",
    ("queued", "paused"): "pause was requested",
    ("queued", "cancelled"): "cancel was requested",
    ("running", "queued"): "the attempt ended before the job did, or its worker was lost",
    ("running", "paused"): "pause was requested, and the process has ended",
    ("running", "cancelled"): "cancel was requested, and the process has ended",
    ("running", "succeeded"): "the run finished",
    ("running", "failed"): "the run failed, or died too often",
    ("paused", "queued"): "resume was requested",
    ("paused", "cancelled"): "cancel was requested",
    ("failed", "queued"): "retry was requested",
    ("cancelled", "queued"): "retry was requested",
}
"""All valid transitions: the previous status and the new status, with the reason."""

ACTIONS: dict[Action, tuple[Status, ...]] = {
    "cancel": ("queued", "running", "paused"),
    "pause": ("queued", "running"),
    "resume": ("paused", "running"),
    "retry": ("failed", "cancelled"),
    "delete": get_args(FinalStatus),
}
"""The statuses that allow an action. `resume` of a running job withdraws a pause request."""


def allowed(action: Action) -> str:
    """The statuses that allow `action`, as text."""
    return " or ".join(ACTIONS[action])
