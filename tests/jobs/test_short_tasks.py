"""Short tasks are repeated if their worker dies, and fail after several deaths in a row.

A long task is done in slices. After each slice, its state is saved and it returns to the queue.
"""

from jobs.short_tasks import (
    MAX_ATTEMPTS,
    claim_short_task,
    create_short_task,
    get_short_task,
    put_back_short_task,
    reap_short_task,
)


def claim_and_die(database, *, slices: int) -> str:
    """The status after a worker has finished some slices of the task and died in the next one."""
    for _ in range(slices):
        with database.write() as session:
            task = claim_short_task(session, "worker")
            put_back_short_task(session, task.id, task.attempt, state={"rows": 1}, progress=0.1)
    with database.write() as session:
        task = claim_short_task(session, "worker")
    with database.write() as session:
        reap_short_task(session, task.id, attempt=task.attempt, beat=task.heartbeat)
        return get_short_task(session, task.id).status


def test_deaths_fail_a_task_only_if_no_slice_was_finished_in_between(database):
    with database.write() as session:
        created = create_short_task(session, kind="evaluate", request={}, dataset="any")
    for _ in range(2 * MAX_ATTEMPTS):
        assert claim_and_die(database, slices=2) == "queued"
    # No slice was finished after the last death above, so that death is the first in a row.
    statuses = [claim_and_die(database, slices=0) for _ in range(MAX_ATTEMPTS - 1)]
    assert statuses == ["queued"] * (MAX_ATTEMPTS - 2) + ["failed"]
    with database.read() as session:
        found = get_short_task(session, created.id)
    assert found.attempt == 3 * MAX_ATTEMPTS - 1  # the fencing token counts every death
    assert found.error["code"] == "attempts_exhausted"
