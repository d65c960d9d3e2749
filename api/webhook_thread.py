"""Sends webhook messages from the outbox, the table of messages to send, while the API runs."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from api.webhook_sender import Networks, can_sign, send
from core.events.types import now
from jobs.database import Database
from jobs.outbox import Claim, Outcome, claim_due, has_due, prune_finished, record_outcome

log = logging.getLogger(__name__)

PER_WEBHOOK = 4
"""Maximum number of attempts at the same time for each webhook."""
PRUNE_EVERY = timedelta(hours=1)


class Deliverer:
    """Sends the deliveries that are due; any number of processes may do so at the same time."""

    def __init__(
        self, database: Database, allowed: Networks, *, clock: Callable[[], datetime] = now
    ) -> None:
        self._database = database
        self._allowed = allowed
        self._clock = clock
        self._pruned_at = clock()

    def deliver_due(self) -> int:
        """Makes an attempt for the oldest due deliveries of each webhook; returns their number."""
        moment = self._clock()
        with self._database.read() as session:
            is_due = has_due(session, moment)
        if moment - self._pruned_at > PRUNE_EVERY:
            self._pruned_at = moment
            with self._database.write() as session:
                prune_finished(session, moment)
        if not is_due:
            return 0
        with self._database.write() as session:
            claims = claim_due(session, moment, per_webhook=PER_WEBHOOK)
        outcomes = asyncio.run(self._send_all(claims))
        moment = self._clock()
        with self._database.write() as session:
            for claim, outcome in zip(claims, outcomes, strict=True):
                record_outcome(session, claim, outcome, moment)
        for claim, outcome in zip(claims, outcomes, strict=True):
            if outcome.error:
                log.info("webhook %s: %s", claim.webhook_id, outcome.error)
        return len(claims)

    async def _send_all(self, claims: Sequence[Claim]) -> list[Outcome]:
        moment = self._clock()
        return await asyncio.gather(*(send(claim, self._allowed, moment) for claim in claims))


class WebhookThread(threading.Thread):
    """Delivers periodically until it is stopped."""

    def __init__(self, deliverer: Deliverer, *, seconds: float) -> None:
        super().__init__(name="webhooks", daemon=True)
        self._deliverer = deliverer
        self._seconds = seconds
        self._stopped = threading.Event()

    def run(self) -> None:
        """The loop."""
        if not can_sign():  # without this package the API creates no webhooks
            return
        while not self._stopped.wait(self._seconds):
            try:
                while self._deliverer.deliver_due() and not self._stopped.is_set():
                    pass
            except SQLAlchemyError:  # a locked or full database; the next pass tries again
                log.exception("webhooks")
            except Exception:  # without this thread nothing is sent until the API restarts
                log.exception("unexpected error in thread %s", self.name)

    def stop(self) -> None:
        """Ends the thread; waits at most 10 seconds for deliveries that are being sent.

        An interrupted delivery is sent again at its next attempt.
        """
        self._stopped.set()
        if self.is_alive():
            self.join(timeout=10.0)
