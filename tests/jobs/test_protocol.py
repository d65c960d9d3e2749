"""Tests claims, leases and fencing by a state machine of supervisors, sweepers and their clocks.

`BABYLM_PROTOCOL_EXAMPLES=2000` runs 2,000 sequences of actions instead of 150.
"""

import os
import shutil
from itertools import pairwise

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from core.events.types import CheckpointData, WarningData, event_of
from jobs.attempts import (
    claim_next,
    finish,
    heartbeat,
    mark_paused,
    read_stop_request,
    reap,
    record_events,
    requeue,
    requeue_counted,
    requeue_last,
)
from jobs.database import Database, upgrade
from jobs.errors import Fenced, InvalidTransition
from jobs.history import events_after
from jobs.recovery import Sweeper
from jobs.states import FINAL, TRANSITIONS
from jobs.store import create_job, get_job, request_cancel, request_pause, resume, retry
from tests.jobs.conftest import SPEC

LEASE = 15.0
EXAMPLES = int(os.environ.get("BABYLM_PROTOCOL_EXAMPLES", "150"))
SUPERVISORS = st.sampled_from(["first", "second"])
SWEEPERS = st.sampled_from([0, 1])


class Protocol(RuleBasedStateMachine):
    """One job, two supervisors and two sweepers.

    A supervisor assumes that it holds the job until one of its writes is fenced, that is, refused
    because a newer attempt has taken the job or because the job has ended.
    """

    folder = None
    template = None
    count = 0

    @initialize()
    def begin(self) -> None:
        Protocol.count += 1
        path = Protocol.folder / f"{Protocol.count}.sqlite3"
        shutil.copyfile(Protocol.template, path)
        self.path = path
        self.database = Database(f"sqlite:///{path}")
        self.time = [0.0, 1000.0]
        self.beaten_at = 0.0
        self.sweepers = [
            Sweeper(self.database, notifier=None, lease_seconds=LEASE, clock=self._clock(index))
            for index in range(2)
        ]
        with self.database.write() as session:
            self.job_id = create_job(session, SPEC)[0].id
        self.believes: dict[str, int] = {}
        self.accepted: list[int] = []
        self.steps = 0
        self.asked: str | None = None

    def _clock(self, index: int):
        return lambda: self.time[index]

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.dispose()
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def _try(self, name: str, write) -> bool:
        """A write by the supervisor of that name; True if it was accepted."""
        attempt = self.believes[name]
        try:
            with self.database.write() as session:
                write(session, self.job_id, attempt)
        except Fenced:
            del self.believes[name]
            return False
        self.accepted.append(attempt)
        self.beaten_at = self.time[0]
        return True

    @rule(name=SUPERVISORS)
    def claim(self, name: str) -> None:
        if name in self.believes:
            return
        with self.database.write() as session:
            job = claim_next(session, name)
        if job is not None:
            self.believes[name] = job.attempt
            self.beaten_at = self.time[0]

    @rule(name=SUPERVISORS)
    def beat(self, name: str) -> None:
        if name in self.believes:
            self._try(name, heartbeat)

    @rule(name=SUPERVISORS)
    def look(self, name: str) -> None:
        """Reading the stop request is also fenced, and writes nothing."""
        if name in self.believes:
            before = self._row()
            try:
                with self.database.read() as session:
                    stop_request = read_stop_request(session, self.job_id, self.believes[name])
                assert stop_request.cancel == (before.cancel_requested_at is not None)
                assert stop_request.pause == (before.pause_requested_at is not None)
            except Fenced:
                assert (before.attempt, before.status) != (self.believes[name], "running")
                del self.believes[name]
            assert self._row() == before

    @rule(name=SUPERVISORS, checkpoint=st.booleans())
    def record(self, name: str, checkpoint: bool) -> None:
        if name not in self.believes:
            return
        self.steps += 1
        data = WarningData(code="test", message=name)
        if checkpoint:
            data = CheckpointData(
                action="saved",
                name=f"step-{self.steps:06d}",
                kind="rolling",
                step=self.steps,
                tokens_seen=0,
                words_seen=0,
            )
        offset = self._row().journal_offset + 1
        events = [event_of(data)]
        taken = self._try(
            name, lambda s, j, a: record_events(s, j, a, events, journal_offset=offset)
        )
        if taken and checkpoint:
            assert self._row().attempts_without_checkpoint == 0

    @rule(
        name=SUPERVISORS,
        end=st.sampled_from(["succeeded", "failed", "again", "again_later", "died"]),
    )
    def end(self, name: str, end: str) -> None:
        if name not in self.believes:
            return
        writes = {
            "succeeded": lambda s, j, a: finish(s, j, a, "succeeded"),
            "failed": lambda s, j, a: finish(s, j, a, "failed"),
            "again": lambda s, j, a: requeue(s, j, a, reason="test"),
            "again_later": lambda s, j, a: requeue_last(s, j, a, reason="test"),
            "died": lambda s, j, a: requeue_counted(s, j, a, reason="test"),
        }
        if self._try(name, writes[end]):
            del self.believes[name]

    @rule(name=SUPERVISORS)
    def obey(self, name: str) -> None:
        """The supervisor carries out the stop request, after its process has ended."""
        if name not in self.believes:
            return
        row = self._row()
        if row.cancel_requested_at is not None:
            fulfilled = self._try(name, lambda s, j, a: finish(s, j, a, "cancelled"))
        elif row.pause_requested_at is not None:
            fulfilled = self._try(name, mark_paused)
        else:
            return
        if fulfilled:
            del self.believes[name]

    @rule(name=SUPERVISORS)
    def die(self, name: str) -> None:
        """The supervisor sends no more heartbeats, as after SIGKILL."""
        self.believes.pop(name, None)

    @rule(seconds=st.sampled_from([1.0, 7.0, 16.0, 3600.0]))
    def pass_time(self, seconds: float) -> None:
        self.time = [moment + seconds for moment in self.time]

    @rule(index=SWEEPERS)
    def sweep(self, index: int) -> None:
        before = self._row()
        reaped = self.sweepers[index].reap()
        if reaped:
            assert before.status == "running"
            assert self.time[0] - self.beaten_at >= LEASE, "a living worker lost its job"

    @rule(back=st.integers(0, 2))
    def reap_by_an_old_look(self, back: int) -> None:
        """A sweeper that has read an older heartbeat than the row now has takes no job."""
        row = self._row()
        with self.database.write() as session:
            taken = reap(session, self.job_id, attempt=row.attempt, beat=row.heartbeat - 1 - back)
        assert taken is None
        assert self._row() == row

    @rule()
    def cancel(self) -> None:
        self._ask(request_cancel)

    @rule()
    def pause(self) -> None:
        self._ask(request_pause)

    @rule()
    def go_on(self) -> None:
        self._ask(resume)

    def _ask(self, action) -> None:
        before = self._row()
        try:
            with self.database.write() as session:
                action(session, self.job_id)
        except InvalidTransition:
            assert self._row() == before, "a refused request changed the row"

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
    def events_have_no_gap_and_every_move_is_in_the_table(self) -> None:
        if not hasattr(self, "database"):
            return
        with self.database.read() as session:
            events = events_after(session, self.job_id)
            row = get_job(session, self.job_id)
        assert [event.seq for event in events] == list(range(1, row.last_seq + 1))
        statuses = [event.data["status"] for event in events if event.type == "status"]
        assert all(transition in TRANSITIONS for transition in pairwise(statuses))
        assert statuses[-1] == row.status
        assert (row.finished_at is not None) == (row.status in FINAL)

    @invariant()
    def at_most_one_supervisor_is_right(self) -> None:
        if hasattr(self, "database"):
            row = self._row()
            right = [a for a in self.believes.values() if a == row.attempt]
            assert len(right) <= 1
            assert all(attempt <= row.attempt for attempt in self.believes.values())


def test_no_interleaving_gives_a_job_to_two_workers(tmp_path_factory):
    Protocol.folder = tmp_path_factory.mktemp("protocol")
    Protocol.template = Protocol.folder / "template.sqlite3"
    upgrade(f"sqlite:///{Protocol.template}")
    run_state_machine_as_test(
        Protocol,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
