import sys

import pytest

from babylm.processes import (
    FIRST_DELAY_SECONDS,
    LAST_DELAY_SECONDS,
    STEADY_SECONDS,
    LogTail,
    Program,
    Supervised,
    is_important,
)


@pytest.mark.system
def test_a_program_that_keeps_dying_is_started_later_each_time(tmp_path):
    from tests.waiting import wait_for

    now, said = [0.0], []
    program = Program("p", [sys.executable, "-c", "raise SystemExit(3)"], {}, tmp_path / "p.log", 1)
    supervised = Supervised(program, say=said.append, clock=lambda: now[0])
    delays = []
    for _ in range(3):
        now[0] += LAST_DELAY_SECONDS
        supervised.tick()  # starts the program
        wait_for(lambda: supervised.is_stopped, what="dead")
        supervised.tick()  # sees that the program has ended
        delays.append(float(said[-1].split()[-2]))
    assert delays == [FIRST_DELAY_SECONDS * 2**n for n in range(3)]
    assert said[0] == "p ended with status 3; starting it again in 0.5 s"
    now[0] += LAST_DELAY_SECONDS
    supervised.tick()
    wait_for(lambda: supervised.is_stopped, what="dead")
    now[0] += STEADY_SECONDS  # as if the program had run for this time
    supervised.tick()
    assert said[-1].endswith("in 0.5 s")


def test_important_lines_of_a_log_are_printed_and_the_log_stays_small(tmp_path, monkeypatch):
    monkeypatch.setattr("babylm.processes.MAX_LOG_BYTES", 100)
    path, said = tmp_path / "a.log", []
    path.write_text("ERROR of an earlier start\n")
    tail = LogTail(path, said.append)
    with path.open("a") as writer:
        writer.write("INFO all is well\nERROR tor")
        writer.flush()
        tail.tick()
        assert said == []
        writer.write("n\n" + "x" * 100 + "\n")
        writer.flush()
        tail.tick()
        assert said == ["ERROR torn"]
        assert path.stat().st_size == 0
        assert "torn" in (tmp_path / "a.log.1").read_text()
        writer.write("WARNING after\n")
        writer.flush()
    tail.tick()
    assert said == ["ERROR torn", "WARNING after"]
    assert tail.last_lines(5) == ["WARNING after"]


def test_which_log_lines_are_important():
    assert is_important("2026-11-24 WARNING worker: slow")
    assert not is_important("INFO fine")
