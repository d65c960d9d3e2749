"""Alerts: failures and warnings of all jobs."""

from core.events.types import ErrorData, WarningData
from jobs.alerts import newest_alerts
from jobs.attempts import finish
from tests.statements import statements

ERROR = ErrorData(code="corpus_missing", message="there is no text", hint="Add it.")


def fail(world, job_id: str) -> None:
    with world.database.write() as session:
        finish(session, job_id, 1, "failed", error=ERROR)


def alerts(client, **query) -> list[dict]:
    return client.get("/v1/alerts", params=query).json()["data"]


def test_failures_and_warnings_are_listed_newest_first(client, world):
    spiky = world.running(name="spiky")
    for step in (1, 2, 3):
        world.record(spiky, WarningData(code="spike", message=f"loss at {step}", level="info"))
    world.record(spiky, WarningData(code="files_left_out", message="a.pdf"))
    world.end(spiky)
    broken = world.running(name="broken")
    fail(world, broken)
    found = alerts(client)
    shown = [(each["job_name"], each["kind"], each["code"], each["times"]) for each in found]
    assert shown == [
        ("broken", "failure", "corpus_missing", 1),
        ("spiky", "warning", "files_left_out", 1),
        ("spiky", "warning", "spike", 3),
    ]
    assert (found[0]["level"], found[0]["hint"]) == ("error", "Add it.")
    assert (found[2]["level"], found[2]["message"]) == ("info", "loss at 3")
    assert len(alerts(client, limit=1)) == 1
    client.patch(f"/v1/jobs/{spiky}", json={"archived": True})
    assert [each["job_id"] for each in alerts(client)] == [broken]
    client.post(f"/v1/jobs/{broken}/retry")
    assert alerts(client) == []


def test_the_query_reads_only_warnings(client, world, store):
    job_id = world.running()
    world.record(job_id, WarningData(code="spike", message="loss"))
    engine = world.database.engine
    with statements(engine) as seen, world.database.read() as session:
        assert len(newest_alerts(session, limit=10)) == 1
    if store == "sqlite":
        [(query, values)] = [each for each in seen if "FROM job_event" in each[0]]
        with engine.connect() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values).all()
        assert any("USING INDEX ix_job_event_warnings" in row[3] for row in plan), plan
