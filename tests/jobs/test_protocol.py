"""Claim, lease, reap and fence as a state machine: two supervisors, a sweeper and a clock."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from core.events import WarningData, event_of
from jobs.attempts import claim_next, finish, heartbeat, record_events, requeue
from jobs.database import Database, upgrade
from jobs.errors import Fenced, MoveRefused
from jobs.history import events_after
from jobs.recovery import Sweeper
from jobs.states import FINAL
from jobs.store import create_job, get_job, request_cancel, retry
from tests.jobs.conftest import SPEC

LEASE = 15.0
SUPERVISORS = st.sampled_from(["first", "second"])


class Protocol(RuleBasedStateMachine):
    """A supervisor believes that it holds a job until a write of its own is fenced."""

    folder = None

    @initialize()
    def begin(self) -> None:
        Protocol.count = getattr(Protocol, "count", 0) + 1
        url = f"sqlite:///{Protocol.folder}/{Protocol.count}.sqlite3"
        upgrade(url)
        self.database = Database(url)
        self.time = 0.0
        self.sweeper = Sweeper(
            self.database, bell=None, lease_seconds=LEASE, clock=lambda: self.time
        )
        with self.database.write() as session:
            self.job_id = create_job(session, SPEC)[0].id
        self.believes: dict[str, int] = {}
        self.accepted: list[int] = []
        self.ended: list[str] = []

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.dispose()

    def _try(self, name: str, write) -> None:
        attempt = self.believes[name]
        try:
            with self.database.write() as session:
                write(session, self.job_id, attempt)
        except Fenced:
            del self.believes[name]
            return
        self.accepted.append(attempt)

    @rule(name=SUPERVISORS)
    def claim(self, name: str) -> None:
        if name in self.believes:
            return
        with self.database.write() as session:
            job = claim_next(session, name)
        if job is not None:
            self.believes[name] = job.attempt

    @rule(name=SUPERVISORS)
    def beat(self, name: str) -> None:
        if name in self.believes:
            self._try(name, heartbeat)

    @rule(name=SUPERVISORS)
    def record(self, name: str) -> None:
        if name in self.believes:
            event = event_of(WarningData(code="test", message=name))
            self._try(
                name,
                lambda session, job_id, attempt: record_events(
                    session, job_id, attempt, [event], journal_offset=0
                ),
            )

    @rule(name=SUPERVISORS, succeeded=st.booleans())
    def end(self, name: str, succeeded: bool) -> None:
        if name in self.believes:
            before = len(self.accepted)
            if succeeded:
                self._try(name, lambda s, j, a: finish(s, j, a, "succeeded"))
            else:
                self._try(name, lambda s, j, a: requeue(s, j, a, reason="test"))
            if len(self.accepted) > before:
                del self.believes[name]

    @rule(seconds=st.sampled_from([1.0, 7.0, 16.0, 3600.0]))
    def pass_time(self, seconds: float) -> None:
        self.time += seconds

    @rule()
    def sweep(self) -> None:
        self.sweeper.sweep()

    @rule()
    def cancel(self) -> None:
        try:
            with self.database.write() as session:
                request_cancel(session, self.job_id)
        except MoveRefused:
            assert self._row().status in FINAL

    @precondition(lambda self: self._row().status in ("failed", "cancelled"))
    @rule()
    def try_again(self) -> None:
        with self.database.write() as session:
            retry(session, self.job_id)

    def _row(self):
        with self.database.read() as session:
            return get_job(session, self.job_id)

    @invariant()
    def writes_are_accepted_in_order_of_attempts(self) -> None:
        if hasattr(self, "accepted"):
            assert self.accepted == sorted(self.accepted)

    @invariant()
    def events_have_no_gap(self) -> None:
        if hasattr(self, "database"):
            with self.database.read() as session:
                seqs = [event.seq for event in events_after(session, self.job_id)]
                assert seqs == list(range(1, get_job(session, self.job_id).last_seq + 1))

    @invariant()
    def at_most_one_supervisor_is_right(self) -> None:
        if hasattr(self, "database"):
            row = self._row()
            right = [a for a in self.believes.values() if a == row.attempt]
            assert len(right) <= 1
            assert all(attempt <= row.attempt for attempt in self.believes.values())


def test_no_interleaving_gives_a_job_to_two(tmp_path_factory):
    from hypothesis.stateful import run_state_machine_as_test

    Protocol.folder = tmp_path_factory.mktemp("protocol")
    run_state_machine_as_test(
        Protocol,
        settings=settings(
            max_examples=60,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
