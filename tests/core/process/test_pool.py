"""The process pool. Its workers import functions by name, so the tests pass builtins as work."""

import os
from functools import partial
from pathlib import Path

import pytest

from core.errors import Stopped
from core.process.pool import serve_in_order

SLOW_PID = "__import__('time').sleep(0.02) or __import__('os').getpid()"


def serve(requests, work, count=3, should_stop=lambda: False):
    return serve_in_order(
        requests, make=partial, argument=work, count=count, should_stop=should_stop
    )


def test_results_come_in_order_from_all_processes():
    places = range(60)
    requests = [f"({place}, {SLOW_PID})" for place in places]
    results = list(serve(requests, eval))
    assert [place for place, _ in results] == list(places)
    pids = {pid for _, pid in results}
    assert len(pids) == 3
    assert os.getpid() in pids


def test_a_result_may_be_larger_than_any_buffer():
    sizes = [5_000_000, 0, 1, 3_000_000] * 6
    assert [len(result) for result in serve(sizes, bytes)] == sizes


@pytest.mark.parametrize("error", ["ConnectionError", "BlockingIOError", "EOFError", "KeyError"])
def test_an_error_of_the_work_is_raised_as_it_is(error):
    here = os.getpid()
    fails = f"if __import__('os').getpid() != {here}: raise {error}('of a helper')"
    slow = "__import__('time').sleep(0.02)"
    with pytest.raises(Exception, match="of a helper") as raised:
        list(serve([f"{fails}\n{slow}"] * 100, exec))
    assert raised.type.__name__ == error


def test_helpers_end_with_the_work():
    results = serve([SLOW_PID] * 60, eval)
    pids = {next(results) for _ in range(40)} - {os.getpid()}
    assert pids
    results.close()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_stop_request_is_checked_between_two_pieces():
    seen = []
    with pytest.raises(Stopped):
        seen.extend(serve([SLOW_PID] * 1000, eval, should_stop=iter([False] * 5 + [True]).__next__))
    assert len(seen) < 10
