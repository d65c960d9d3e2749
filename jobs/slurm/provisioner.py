"""The provisioner: submits a pilot for each queued job that may run on Slurm, and tracks it.

A pilot is a Slurm job that runs one worker for one job; its placement is the row that records it.
All state of the provisioner is in rows, so you can kill it at any moment, run two of them, or start
it by cron. Slurm's answers decide only whether a pilot is submitted again, never the outcome of a
job. After a wrong answer, at most one additional pilot starts, and it ends without claiming a job.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from core.spec.stored import read_stored_spec
from jobs.clock import database_time
from jobs.database import Database
from jobs.placements import (
    ENDED,
    HELD_BACK,
    LOST,
    REFUSED,
    UNKNOWN,
    Pair,
    begin_placement,
    enter_slurm_id,
    find_placement,
    open_placements,
    submit_again,
    unplaced_jobs,
    update_placement,
)
from jobs.resources import Offer, measured_rates, offer_of, serves
from jobs.settings import Settings
from jobs.slurm.client import Listed, Listing, Refused, Slurm, Submitted
from jobs.slurm.script import make_script, read_template, sbatch_options, slurm_folder
from jobs.slurm.time_limit import time_limit_minutes
from jobs.tables import Job, Placement, WorkerRow
from jobs.workers import live_workers

log = logging.getLogger(__name__)

SETTINGS_FILE = "settings.env"
MISSES = 3
"""A Slurm job counts as lost if it is missing in this number of consecutive complete listings."""
CANCEL_GRACE_SECONDS = 60.0
"""Seconds that a pilot has to obey a cancel request, in addition to the grace period and the lease.
After this time, `scancel` ends the pilot."""


@dataclass(frozen=True)
class Pace:
    """Delays of the provisioner."""

    settle_seconds: float = 60.0
    """Seconds that `squeue` may take to list a job after an unclear answer of `sbatch`."""
    retry_seconds: float = 15.0
    """Seconds between the first and the second try; the delay doubles for each further try."""
    longest_retry_seconds: float = 600.0

    def before_try(self, tries: int) -> float:
        """Seconds to wait after this number of tries."""
        return min(self.longest_retry_seconds, self.retry_seconds * 2.0 ** (min(tries, 20) - 1))


class Provisioner:
    """Submits and tracks the pilots; `provision` makes one pass."""

    def __init__(
        self, database: Database, settings: Settings, slurm: Slurm, *, pace: Pace | None = None
    ) -> None:
        """Reads the site's template.

        Raises:
            SlurmError: If the template is not usable.
        """
        self._database = database
        self._settings = settings
        self._slurm = slurm
        self._pace = pace or Pace()
        self._template = read_template(settings.slurm_template)
        self._folder = slurm_folder(settings)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._rates: Mapping[str, float] = {}
        """Measured operations per second by kind of device, of the live workers."""

    def provision(self) -> None:
        """One pass: updates open placements, then submits pilots of new jobs."""
        with self._database.read() as session:
            pairs = open_placements(session)
            workers = live_workers(session)
            moment = database_time(session)
        self._rates = measured_rates(workers)
        with_pilot = {offer_of(worker).job_id for worker in workers} - {None}
        listing = self._slurm.list_jobs() if pairs else Listing(is_complete=True)
        if listing is not None:
            for pair in pairs:
                self._update(pair, listing, moment, has_pilot=pair.job.id in with_pilot)
        with self._database.read() as session:
            num_open = len(open_placements(session))
            room = max(0, self._settings.slurm_max_pilots - num_open)
            waiting = unplaced_jobs(session, limit=2 * self._settings.slurm_max_pilots)
        new = [job for job in _beyond_workers(waiting, workers) if job.id not in with_pilot]
        for job in new[:room]:
            with self._database.write() as session:
                placement = begin_placement(session, job.id, job.attempt + 1)
            if placement is not None:
                self._submit(placement, job)

    def _update(self, pair: Pair, listing: Listing, moment: datetime, *, has_pilot: bool) -> None:
        placement, job = pair.placement, pair.job
        is_wanted = job.status == "queued" and job.attempt + 1 == placement.attempt
        listed = listing.by_name.get(placement.name, [])
        if placement.slurm_id is None:
            alive = [each for each in listed if each.state not in ENDED]
            if alive:
                self._adopt(placement, alive[0].slurm_id)
                return
            if placement.state != REFUSED:
                is_old = moment - placement.changed_at > _seconds(self._pace.settle_seconds)
                if not (listing.is_complete and is_old):
                    return
        else:
            ours = [each for each in listed if each.slurm_id == placement.slurm_id]
            self._cancel_duplicates(placement, listed)
            placement = self._record(placement, ours, is_complete=listing.is_complete)
            if placement.state not in HELD_BACK:
                self._cancel_unwanted(placement, job, moment, is_wanted=is_wanted)
                return
        if is_wanted and not has_pilot:
            self._retry(placement, job, moment)
        elif not is_wanted and not _holds(placement, job):
            with self._database.write() as session:
                update_placement(session, placement, is_open=False)

    def _adopt(self, placement: Placement, slurm_id: str) -> None:
        log.info("job %s: Slurm job %s was found by its name", placement.job_id, slurm_id)
        with self._database.write() as session:
            enter_slurm_id(session, placement, slurm_id)

    def _cancel_duplicates(self, placement: Placement, listed: Iterable[Listed]) -> None:
        """Cancels pending duplicates of the placement's Slurm job, which cannot claim the job."""
        for each in listed:
            if each.slurm_id != placement.slurm_id and each.state == "PENDING":
                self._slurm.cancel(each.slurm_id)

    def _record(self, placement: Placement, found: list[Listed], *, is_complete: bool) -> Placement:
        """Records Slurm's state of the placement; returns the current row."""
        if not found:
            if not is_complete or placement.state in HELD_BACK:
                return placement
            missed = placement.missed + 1
            values: dict[str, object] = {"missed": missed}
            if missed >= MISSES:
                values["state"] = LOST
        else:
            first = found[0]
            values = {}
            if first.state != placement.state:
                values["state"] = first.state
            for name in ("reason", "expected_start_at"):
                if getattr(first, name) != getattr(placement, name):
                    values[name] = getattr(first, name)
            if placement.missed:
                values["missed"] = 0
        if values:
            with self._database.write() as session:
                update_placement(session, placement, **values)
                current = find_placement(session, placement.job_id, placement.attempt)
            return current or placement
        return placement

    def _cancel_unwanted(
        self, placement: Placement, job: Job, moment: datetime, *, is_wanted: bool
    ) -> None:
        """Cancels a pilot that has not started and is not needed, or that ignores a cancel."""
        assert placement.slurm_id is not None
        if not is_wanted and placement.worker_id is None:
            self._slurm.cancel(placement.slurm_id)
        elif _holds(placement, job) and job.cancel_requested_at is not None:
            settings = self._settings
            patience = settings.grace_seconds + settings.lease_seconds + CANCEL_GRACE_SECONDS
            if moment - job.cancel_requested_at > _seconds(patience):
                log.warning("job %s ignores its cancel request: calling scancel", job.id)
                self._slurm.cancel(placement.slurm_id)

    def _retry(self, placement: Placement, job: Job, moment: datetime) -> None:
        wait = self._pace.before_try(placement.tries)
        if placement.state in HELD_BACK and moment - placement.changed_at < _seconds(wait):
            return
        with self._database.write() as session:
            is_ours = submit_again(session, placement)
            current = find_placement(session, placement.job_id, placement.attempt)
        if is_ours and current is not None:
            self._submit(current, job)

    def _submit(self, placement: Placement, job: Job) -> None:
        """Calls `sbatch`. The caller has already recorded that a submission has begun."""
        try:
            spec = read_stored_spec(job.spec)
        except ValidationError as error:
            self._write(placement, state=REFUSED, reason=f"the spec is not valid: {error}"[:500])
            return
        settings_file = self._folder / SETTINGS_FILE
        script = make_script(self._template, placement, settings_file=settings_file)
        minutes = time_limit_minutes(
            spec, settings=self._settings, template=self._template, rates=self._rates
        )
        options = sbatch_options(spec, placement, log_folder=self._folder, minutes=minutes)
        answer = self._slurm.submit(options, script)
        if isinstance(answer, Submitted):
            log.info("job %s attempt %d: Slurm job %s", job.id, placement.attempt, answer.slurm_id)
            self._enter(placement, answer.slurm_id)
        elif isinstance(answer, Refused):
            log.warning("job %s: Slurm rejected the submission: %s", job.id, answer.words)
            self._write(placement, state=REFUSED, reason=answer.words)
        else:
            log.warning("job %s: unclear answer of sbatch: %s", job.id, answer.words)
            self._write(placement, state=UNKNOWN, reason=answer.words)

    def _enter(self, placement: Placement, slurm_id: str) -> None:
        with self._database.write() as session:
            if enter_slurm_id(session, placement, slurm_id):
                return
            current = find_placement(session, placement.job_id, placement.attempt)
        if current is None or current.slurm_id != slurm_id:
            self._slurm.cancel(slurm_id)  # another Slurm job has the placement

    def _write(self, placement: Placement, **values: object) -> None:
        with self._database.write() as session:
            update_placement(session, placement, **values)


def _beyond_workers(jobs: Iterable[Job], workers: Iterable[WorkerRow]) -> list[Job]:
    """The jobs for which no slot is left on workers that are not pilots."""
    left: list[Offer] = []
    for worker in workers:
        offer = offer_of(worker)
        if worker.queue == "train" and offer.job_id is None:
            left += [offer] * max(0, worker.slots - len(worker.job_ids))
    beyond = []
    for job in jobs:
        taker = next((offer for offer in left if serves(offer, job)), None)
        if taker is None:
            beyond.append(job)
        else:
            left.remove(taker)
    return beyond


def _holds(placement: Placement, job: Job) -> bool:
    """Whether the placement's pilot runs the job."""
    pilot = placement.worker_id
    return job.status == "running" and pilot is not None and job.worker_id == pilot


def _seconds(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)
