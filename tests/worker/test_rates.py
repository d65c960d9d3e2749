"""The measured speed of a worker's devices."""

import sys

from core.process.program import python_command
from worker.rates import measure_rates, rates_file, read_rates, with_rates

DEVICES = [{"index": 0, "kind": "cpu", "name": "x86", "cores": 2, "memory_bytes": 1}]


def test_the_program_measures_this_machine_and_the_result_is_kept(tmp_path):
    """The program runs in a process of its own, because a worker loads no torch."""
    file = rates_file(tmp_path / "workers", DEVICES, {})
    assert read_rates(file) is None
    command = python_command("core.training.execution.rate")
    rates = measure_rates(file, command=command, environment={})
    assert rates
    assert all(rate > 1e6 for rate in rates.values())
    assert read_rates(file) == rates


def test_other_devices_and_threads_are_measured_by_themselves(tmp_path):
    files = {
        rates_file(tmp_path, devices, environment)
        for devices in (DEVICES, [DEVICES[0] | {"cores": 64}])
        for environment in ({"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "2"})
    }
    assert len(files) == 4
    used = [DEVICES[0] | {"memory_used_bytes": 7}]
    assert rates_file(tmp_path, used, {}) == rates_file(tmp_path, DEVICES, {})


def test_a_failure_leaves_the_rate_unknown_and_is_not_kept(tmp_path):
    file = rates_file(tmp_path, DEVICES, {})
    for body in ("raise SystemExit(1)", "print('nothing')", "print('[]')"):
        command = [sys.executable, "-c", body]
        assert measure_rates(file, command=command, environment={}) is None
    assert read_rates(file) is None
    file.write_text("torn")
    assert read_rates(file) is None


def test_devices_are_reported_with_their_rate():
    assert with_rates(DEVICES, {}) == DEVICES
    assert with_rates(DEVICES, {"cuda": 1e14}) == DEVICES
    assert with_rates(DEVICES, {"cpu": 2e11}) == [DEVICES[0] | {"flops_per_second": 2e11}]
