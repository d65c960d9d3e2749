"""A study that is killed at any statement exists with all members or not at all."""

import signal
import subprocess
import sys

from sqlmodel import select

from jobs.studies import read_members
from jobs.tables import Job, JobEvent, Study

KILLED_AT_EACH_STATEMENT = """
import os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from core.spec.grid import conditions_of, make_members
from jobs.database import Database
from jobs.studies import add_seeds, create_study, further_members, get_study

url = sys.argv[1]
base, grid = {"preset": "sample"}, {"training.learning_rate": [1e-4, 5e-4]}
members = make_members("killed", base, list(enumerate(conditions_of(grid))), [0, 1])
seen = fatal = 0

def strike(*_):
    global seen
    seen += 1
    if seen == fatal:
        os.kill(os.getpid(), signal.SIGKILL)

def create(session):
    create_study(session, name="killed", base=base, grid=grid, seeds=[0, 1], members=members,
                 idempotency_key="the same")

def add(session):
    [study] = [each.id for each in session.exec(select(Study))]
    study = get_study(session, study, lock=True)
    add_seeds(session, study.id, [0, 1, 2], further_members(session, study, [0, 1, 2]))

from sqlmodel import select
from jobs.tables import Study

event.listen(Engine, "after_cursor_execute", strike)
event.listen(Engine, "commit", strike)
for work in (create, add):
    for fatal in range(1, 100):
        process = os.fork()
        if process == 0:
            database = Database(url)
            with database.write() as session:
                work(session)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        print(work.__name__, fatal, status, flush=True)
        if status != -signal.SIGKILL:
            break
"""
"""A program that forks a child for each statement at which the work is killed. A new interpreter
for each would spend most of its time on starting Python and importing SQLAlchemy. Each child
repeats the same work, like a client that got no answer."""


def test_a_study_killed_at_any_statement_has_each_member_once(database, url):
    database.engine.dispose()
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT_EACH_STATEMENT, url],
        capture_output=True,
        text=True,
        check=True,
    )
    ends = [line.split() for line in done.stdout.splitlines()]
    kills = [name for name, _, status in ends if int(status) == -signal.SIGKILL]
    assert min(kills.count("create"), kills.count("add")) >= 10
    assert [name for name, _, status in ends if int(status) == 0] == ["create", "add"]
    with database.read() as session:
        [study] = session.exec(select(Study)).all()
        members = read_members(session, study.id)
        places = [(member.condition_number, member.seed) for member in members]
        assert places == [(number, seed) for number in (0, 1) for seed in (0, 1, 2)]
        assert len(session.exec(select(Job)).all()) == len(places)
        # Each member has exactly one event, with the status `queued`.
        events = session.exec(select(JobEvent)).all()
        assert sorted(event.job_id for event in events) == sorted(m.job_id for m in members)
        assert study.seeds == [0, 1, 2]
