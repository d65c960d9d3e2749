"""The chaos tests detect two processes that train the same job."""

import subprocess
import sys

from chaos.processes import Sampler, trainers, writes_to
from tests.worker.test_supervisor import until

AT_WORK = (
    "import sys; file = open(sys.argv[2] + '/events.jsonl', 'ab'); print('open', flush=True); "
    "sys.stdin.read()"
)


FORKED = AT_WORK.replace("print(", "import os; parent = os.fork(); parent and print(")


def start(folder, program: str = AT_WORK) -> subprocess.Popen:
    """A process that looks like a training process at work."""
    command = [sys.executable, "-c", program, "core.run", str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"open\n"
    return process


def test_two_processes_that_train_one_job_are_detected(tmp_path):
    jobs = tmp_path / "jobs"
    for name in ("one", "two"):
        (jobs / name).mkdir(parents=True)
    sampler = Sampler(jobs, seconds=0.01)
    sampler.start()
    with start(jobs / "one") as first, start(jobs / "two") as other:
        assert trainers(jobs) == {first.pid: "one", other.pid: "two"}
        assert writes_to(first.pid, jobs / "one" / "events.jsonl")
        checks = sampler.checks
        until(lambda: sampler.checks > checks + 2, "two more checks")
        assert sampler.doubles == []
        with start(jobs / "one") as second:
            until(lambda: sampler.doubles, "seen")
            assert str(second.pid) in sampler.doubles[0]
            second.stdin.close()
        first.stdin.close()
        other.stdin.close()
    sampler.stop()


def test_a_process_that_a_trainer_starts_is_no_second_trainer(tmp_path):
    """Between fork and exec, the new process has the trainer's command line and open files."""
    jobs = tmp_path / "jobs"
    (jobs / "one").mkdir(parents=True)
    sampler = Sampler(jobs, seconds=0.01)
    sampler.start()
    with start(jobs / "one", FORKED) as trainer:
        until(lambda: len(trainers(jobs)) == 2, "both")
        checks = sampler.checks
        until(lambda: sampler.checks > checks + 2, "two more checks")
        trainer.stdin.close()
    sampler.stop()
    assert sampler.doubles == []
