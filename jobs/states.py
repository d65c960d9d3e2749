"""The statuses of a job and every move between them, in one table."""

from typing import Literal, get_args

Status = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
FinalStatus = Literal["succeeded", "failed", "cancelled"]
Action = Literal["cancel", "pause", "resume", "retry", "delete"]
ShortStatus = Literal["queued", "running", "succeeded", "failed"]

STATUSES: tuple[Status, ...] = get_args(Status)
FINAL: frozenset[Status] = frozenset(get_args(FinalStatus))

TRANSITIONS: dict[tuple[Status, Status], str] = {
    ("queued", "running"): "a worker claimed it",
    ("queued", "paused"): "pause was asked",
    ("queued", "cancelled"): "cancel was asked",
    ("running", "queued"): "the attempt ended before the job did, or its worker was lost",
    ("running", "paused"): "pause was asked, and the process is gone",
    ("running", "cancelled"): "cancel was asked, and the process is gone",
    ("running", "succeeded"): "the run finished",
    ("running", "failed"): "the run failed, or died too often",
    ("paused", "queued"): "resume was asked",
    ("paused", "cancelled"): "cancel was asked",
    ("failed", "queued"): "retry was asked",
    ("cancelled", "queued"): "retry was asked",
}
"""From, to, and why. No other move is ever written."""

ACTIONS: dict[Action, tuple[Status, ...]] = {
    "cancel": ("queued", "running", "paused"),
    "pause": ("queued", "running"),
    "resume": ("paused", "running"),
    "retry": ("failed", "cancelled"),
    "delete": ("succeeded", "failed", "cancelled"),
}
"""The statuses in which a user may ask for it. `resume` of a running job takes back a pause."""


def allowed(action: Action) -> str:
    """The statuses of a job that takes `action`, in words."""
    return " or ".join(ACTIONS[action])
