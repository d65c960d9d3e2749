"""A small simulation of running jobs, on the real API, Redis and database."""

import json

from benchmarks import bench_scale


def test_every_event_that_simulated_workers_send_is_stored(monkeypatch, capsys):
    """Starts a service, because only a service uses all parts of the benchmark together."""
    monkeypatch.setattr(bench_scale, "QUEUED", 20)
    monkeypatch.setattr(bench_scale, "RUNNING", 4)
    monkeypatch.setattr(bench_scale, "QUIET_SECONDS", 0.5)
    monkeypatch.setenv("BABYLM_BENCH_SECONDS", "2")
    bench_scale.run("scale/sqlite")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    figures = {line["metric"]: line["value"] for line in lines}
    assert figures["events_stored_per_second"] > 0
    assert figures["events_lost"] == 0
    assert figures["events_waiting_in_journals"] == 0
    assert figures["workers_processor_milliseconds"] > 0
