"""The alerts of all jobs."""

from dataclasses import asdict
from typing import Annotated

from fastapi import Query

from api.deps import Reading
from api.routing import ThreadRouter
from api.schemas_alerts import AlertPage, AlertRead
from jobs.alerts import newest_alerts

router = ThreadRouter("jobs")


@router.get("/alerts")
def list_alerts(session: Reading, limit: Annotated[int, Query(ge=1, le=500)] = 100) -> AlertPage:
    """The failed jobs and the warnings of all jobs, newest first, without archived jobs.

    All warnings of a job with the same code are one alert. `times` is the number of these warnings
    among the newest 1,000 warnings of all jobs. A failed job that was retried is no longer an
    alert.
    """
    alerts = newest_alerts(session, limit=limit)
    return AlertPage(data=[AlertRead.model_validate(asdict(alert)) for alert in alerts])
