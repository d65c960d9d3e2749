"""Response bodies for alerts."""

from datetime import datetime
from typing import Literal

from api.schemas import Out
from core.events.types import WarningLevel


class AlertRead(Out):
    """A failed job, or all warnings of a job with the same code.

    `times` is the number of these warnings among the newest 1,000 warnings; 1 for a failure.
    """

    job_id: str
    job_name: str
    kind: Literal["failure", "warning"]
    level: WarningLevel
    code: str
    message: str
    hint: str | None
    """How to fix a failure; null for a warning."""
    time: datetime
    """Time of the failure or of the newest warning."""
    times: int


class AlertPage(Out):
    """Alerts, newest first."""

    data: list[AlertRead]
