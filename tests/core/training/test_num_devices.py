"""A run on several devices: the same curve, the same exact resume, and all its processes end.

These tests use two processes on the CPU with gloo. Each start of a run loads torch in new
processes, which takes about four seconds, so each test checks several things.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from core.archs import ARCHITECTURES
from core.dataset.batches import Batches
from core.errors import DevicesMissing, ExitCode, RankDied, RunError, Stopped
from core.events.journal import read_journal
from core.events.types import StageData
from core.process.program import python_command
from core.sample import write_sample
from core.spec.job import JobSpec
from core.spec.plan import make_plan
from core.spec.training import TrainingSpec
from core.stages.reporter import StageReporter
from core.storage.file_hashes import hash_file
from core.storage.rundir import RunDir
from core.training.distributed.ranks import Ranks
from core.training.distributed.reducer import GradientReducer, seed_step
from core.training.execution.device import Device, choose_device
from core.training.execution.plan import choose
from core.training.loop import Trainer
from core.training.model.moe.experts import RouterStatistics, balance_loss
from core.training.model.moe.grouped import count_choices
from tests.waiting import DEADLINE


def weights(run) -> str:
    return hash_file(run.rundir.checkpoint("last") / "model.safetensors")


def files(run) -> set[str]:
    return {str(path.relative_to(run.rundir.root)) for path in run.rundir.root.rglob("*")}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_two_devices_give_the_curve_of_one(tiny_run, architecture):
    """The epoch has 29 windows. Its last batch, step 8, has one window, so rank 0 gets none."""
    options = {"seq_length": 128, "eval_tokens": None}
    if architecture == "llama4":
        # The balancing loss is computed for each micro-batch, and two devices count as two
        # micro-batches.
        options |= {"router_aux_loss_coefficient": 0.1}
    if architecture == "olmo2":
        options |= {"packing": "documents"}
    one = tiny_run(architecture, name="one", micro_batch_size=2, **options)
    two = tiny_run(architecture, name="two", num_devices=2, **options)
    assert Batches(one.train, seq_length=128, batch_size=4, seed=0).batch(8).inputs.shape[0] == 1
    one.go()
    two.go()
    compared = ["train/loss", "train/grad_norm", "validation/loss"]
    if architecture == "llama4":
        compared += ["experts/max_load_share", "experts/balance_loss"]
    for name in compared:
        assert list(one.values(name))
        assert two.values(name) == pytest.approx(one.values(name), rel=1e-5), name
    assert files(two) == files(one)
    (stage,) = [event for event in two.of(StageData) if event.state == "finished"]
    assert (stage.counts["num_devices"], stage.counts["micro_batch_size"]) == (2, 2)


@pytest.mark.long
def test_a_run_on_two_devices_resumes_to_the_last_bit_with_dropout(tiny_run):
    alone, disturbed = (_with_dropout(tiny_run(name=name)) for name in ("alone", "disturbed"))
    alone.go()
    with pytest.raises(Stopped):
        disturbed.go(stop_at=3)
    assert "interrupted-000003" in disturbed.names()
    with pytest.raises(KeyboardInterrupt):
        disturbed.go(fail_at=7)
    disturbed.go()
    for name in ("train/loss", "train/grad_norm", "validation/loss"):
        assert disturbed.values(name) == alone.values(name)
    assert weights(disturbed) == weights(alone)
    assert disturbed.names() == alone.names()
    assert not torch.distributed.is_initialized()


def _with_dropout(run):
    model = run.spec.model.model_copy(update={"attention_dropout": 0.3})
    training = run.spec.training.model_copy(update={"num_devices": 2})
    run.spec = run.spec.model_copy(update={"model": model, "training": training})
    return run


def test_a_resume_point_knows_no_number_of_devices(tiny_run):
    one, moved = tiny_run(name="one"), tiny_run(name="moved", micro_batch_size="auto")
    one.go()
    for devices, stop_at in ((2, 3), (1, 7), (2, None)):
        training = moved.spec.training.model_copy(update={"num_devices": devices})
        moved.spec = moved.spec.model_copy(update={"training": training})
        if stop_at is None:
            moved.go()
        else:
            with pytest.raises(Stopped):
                moved.go(stop_at=stop_at)
    assert moved.values("train/loss") == pytest.approx(one.values("train/loss"), rel=1e-5)
    assert moved.values("validation/loss") == pytest.approx(one.values("validation/loss"), rel=1e-5)


def test_what_another_device_cannot_do_fails_the_run_by_that_name(tiny_run, tmp_path):
    run = tiny_run(num_devices=2, num_threads=2)
    elsewhere = tmp_path / "elsewhere"  # has only tokens.bin, so rank 1 cannot open the token file
    elsewhere.mkdir()
    shutil.copy(run.train.folder / "tokens.bin", elsewhere)
    run.train = dataclasses.replace(run.train, folder=elsewhere)
    with pytest.raises(RunError, match="elsewhere") as caught:
        run.go()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert caught.value.code == "token_file_damaged"
    assert "Delete the folder" in caught.value.hint
    assert threads == 2  # only training divides the threads among the devices


def test_a_trial_step_on_each_device_leaves_no_trace(tiny_run):
    """A run takes such a step before training if layers are compiled, or if the size of the
    micro-batch has to be tried on GPUs.
    """
    one, two = tiny_run(name="one"), tiny_run(name="two", num_devices=2)
    one.go()
    plan = make_plan(two.spec.training, num_tokens=two.train.num_tokens)
    files = {"train": two.train, "validation": two.validation}
    with Ranks(0, two.events.append) as ranks:
        ranks.start(two.spec, plan, compile_cache=None, **files)
        trainer = Trainer(
            two.spec,
            plan,
            two.rundir,
            two.train,
            two.validation,
            two.tokenizer,
            two.events.append,
            lambda: None,
            two.stop,
            ranks,
        )
        trainer.resume()
        trainer.probe.run(None)
        trainer.run(StageReporter(two.events.append))
    assert two.values("train/loss") == pytest.approx(one.values("train/loss"), rel=1e-5)


BUSY = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from core.spec.plan import make_plan
from core.spec.job import JobSpec
from core.training.distributed.ranks import Ranks

spec = JobSpec.model_validate({"training": {"num_devices": 2, "device": "cpu"}}).resolve()
ranks = Ranks(0, lambda error: print(error.code, flush=True), notice_seconds=0.1)
ranks.start(
    spec,
    make_plan(spec.training, num_tokens=1000),
    train=SimpleNamespace(folder=Path(sys.argv[1])),
    validation=None,
    compile_cache=None,
)
time.sleep(600)
"""
"""A program in which rank 0 sleeps, like native code that waits for a rank that has died."""


@pytest.mark.long
def test_a_rank_0_that_does_not_notice_the_end_of_another_is_ended_too(tmp_path):
    command = [sys.executable, "-c", BUSY, str(tmp_path / "missing")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.FAILED
    assert done.stdout.splitlines()[-1] == "token_file_damaged"


def test_a_rank_whose_connections_were_seen_to_close_before_its_end_is_the_cause():
    with Ranks(0, print) as ranks:
        peer = SimpleNamespace(has_ended=True, priority=1, failure=lambda: RankDied("gone"))
        ranks._peers.append(peer)
        threading.Timer(0.2, ranks._watch, [peer]).start()
        cause = ranks.cause_of(RuntimeError("Connection reset by peer"))
        ranks._peers.clear()
    assert isinstance(cause, RankDied)


class Process:
    """A run of the sample preset on two devices, as the worker starts it."""

    def __init__(self, folder: Path) -> None:
        write_sample(folder / "data", target_bytes=60_000)
        self.rundir = RunDir(folder / "run")
        self.rundir.root.mkdir()
        training = {"num_devices": 2, "max_steps": 100_000, "epochs": 10_000.0}
        training |= {"logging_steps": 1, "save_steps": 20, "eval_steps": 100_000}
        training["compile"] = False
        model = {"hidden_size": 16, "num_hidden_layers": 2}
        spec = {"preset": "sample", "model": model, "training": training}
        self.rundir.spec.write_text(json.dumps(spec))
        self._command = python_command("core.run", str(self.rundir.root))
        self._command += ["--data-dir", str(folder / "data"), "--cache-dir", str(folder / "cache")]

    def start(self) -> None:
        with self.rundir.log.open("ab") as log:
            self.popen = subprocess.Popen(
                self._command, stdout=log, stderr=log, start_new_session=True
            )

    def span(self, step: int) -> None:
        """Waits until a step was logged, and records the processes of the run."""
        self.wait_for(lambda: any(number >= step for number in self.steps()))
        self.family = psutil.Process(self.popen.pid).children(recursive=True)
        (self.other,) = [one for one in self.family if "core.training.distributed" in one.cmdline()]

    def steps(self) -> list[int]:
        events = read_journal(self.rundir.journal, limit_bytes=1 << 30)
        return [event.data["step"] for event, _ in events if event.type == "metrics"]

    def wait_for(self, condition) -> None:
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline, self.rundir.log.read_text()[-3000:]
            time.sleep(0.05)

    def wait_until_gone(self) -> int:
        """Waits until no process of the run is left; returns the exit status."""
        status = self.popen.wait(DEADLINE)
        _, alive = psutil.wait_procs(self.family, timeout=DEADLINE)
        assert alive == []
        return status

    def errors(self) -> list[dict]:
        events = read_journal(self.rundir.journal, limit_bytes=1 << 30)
        return [event.data for event, _ in events if event.type == "error"]

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()


@pytest.fixture
def process(tmp_path):
    run = Process(tmp_path)
    yield run
    run.close()


def test_the_processes_of_a_run_end_together_and_the_next_call_resumes(process):
    """Three starts in one test: each resumes where the previous one ended."""
    process.start()
    process.span(25)
    for one in (psutil.Process(process.popen.pid), process.other):
        sockets = one.net_connections("inet")
        assert sockets
        assert {socket.laddr.ip for socket in sockets} == {"127.0.0.1"}
    process.other.kill()
    assert process.wait_until_gone() == 1
    assert process.errors()[-1]["code"] == "rank_died"
    assert "SIGKILL" in process.errors()[-1]["message"]

    logged = max(process.steps())
    process.start()
    process.span(logged + 25)
    log = process.rundir.log.read_text()
    assert "resumed at step" in log
    process.popen.kill()
    assert process.wait_until_gone() == -signal.SIGKILL

    logged = max(process.steps())
    process.start()
    process.span(logged + 25)
    os.killpg(process.popen.pid, signal.SIGTERM)
    assert process.wait_until_gone() == ExitCode.STOPPED
    points = [int(path.name.removeprefix("step-")) for path in process.rundir.resume.iterdir()]
    assert max(points) == max(process.steps())  # no step is lost


def test_a_batch_that_devices_cannot_share_evenly_is_refused():
    with pytest.raises(ValueError, match="must divide batch_size 12: 1, 2, 3, 4, 6, 12 would"):
        TrainingSpec(batch_size=12, num_devices=5)
    with pytest.raises(ValueError, match=r"12 on 3 devices\): 1, 2, 4 would be accepted"):
        TrainingSpec(batch_size=12, num_devices=3, micro_batch_size=6)
    training = TrainingSpec(batch_size=12, num_devices=3, micro_batch_size=2)
    assert training.device_batch_size == 4


def test_more_gpus_than_there_are_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DevicesMissing, match="num_devices is 2, but only 1 GPU") as caught:
        choose_device(TrainingSpec(num_devices=2, precision="fp32"))
    assert "BABYLM_NUM_SLOTS" in caught.value.hint


def test_an_automatic_micro_batch_is_a_part_of_the_devices_share(monkeypatch):
    spec = JobSpec.model_validate(
        {"training": {"batch_size": 16, "num_devices": 2, "micro_batch_size": "auto"}}
    ).resolve()
    plan = make_plan(spec.training, num_tokens=10**6)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 2**60}))
    cpu = Device(torch.device("cpu"), "fp32")
    assert choose(spec, plan, cpu, vocab_size=1000).micro_batch_size == 8


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 64])
@pytest.mark.parametrize("num_ranks", [2, 3, 4])
def test_the_ranks_take_each_sequence_once_and_as_evenly_as_can_be(count, num_ranks):
    shares = [_reducer(rank, num_ranks) for rank in range(num_ranks)]
    rows = [list(range(count))[reducer.rows(count)] for reducer in shares]
    assert list(chain(*rows)) == list(range(count))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1
    components = [list(reducer.part_of(range(count))) for reducer in shares]
    assert sorted(chain(*components)) == list(range(count))


def _reducer(rank: int, num_ranks: int) -> GradientReducer:
    cpu = Device(torch.device("cpu"), "fp32")
    return GradientReducer([], rank=rank, num_ranks=num_ranks, device=cpu, num_routed=0)


def test_gradients_are_gathered_in_one_buffer_that_backward_adds_to():
    parameters = [torch.nn.Parameter(torch.ones(size)) for size in (3, 5)]
    cpu = Device(torch.device("cpu"), "fp32")
    reducer = GradientReducer(parameters, rank=0, num_ranks=2, device=cpu, num_routed=0)
    for _ in range(2):
        reducer.clear()
        for _ in range(2):
            sum((parameter * 2.0).sum() for parameter in parameters).backward()
        assert [parameter.grad.tolist() for parameter in parameters] == [[4.0] * 3, [4.0] * 5]
    storages = {parameter.grad.untyped_storage().data_ptr() for parameter in parameters}
    assert len(storages) == 1


def test_router_statistics_of_ranks_add_up_to_those_of_one():
    logits = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))  # (L, N, E)
    components, whole = [RouterStatistics(layers=2, experts=4) for _ in range(3)], None
    for statistics, passes in zip(components, ([0, 1], [2], []), strict=True):
        _record(statistics, logits, passes)
    whole = RouterStatistics(layers=2, experts=4)
    _record(whole, logits, [0, 1, 2])
    components[2].replace(sum(statistics.sums() for statistics in components))
    for name, value in whole.metrics().items():
        assert components[2].metrics()[name].item() == pytest.approx(value.item(), rel=1e-6)


def _record(statistics: RouterStatistics, logits: torch.Tensor, passes: list[int]) -> None:
    for number in passes:
        statistics.begin_pass()
        for layer in logits[:, 2 * number : 2 * number + 2]:
            counts = count_choices(layer.topk(1, dim=1).indices, layer.shape[1]).float()
            statistics.record(counts, balance_loss(layer, counts / len(layer)))
        statistics.end_pass()


def test_each_rank_draws_its_own_numbers_and_the_same_ones_again():
    draws = {}
    for step in (1, 2):
        for rank in (0, 1):
            seed_step(7, step=step, rank=rank)
            draws[step, rank] = torch.rand(4).tolist()
    assert len({tuple(values) for values in draws.values()}) == 4
    seed_step(7, step=1, rank=1)
    assert torch.rand(4).tolist() == draws[1, 1]


def test_the_estimate_is_of_a_device_and_the_steps_are_those_of_the_job():
    from core.spec.estimate import estimate

    def needs(**training):
        return estimate(JobSpec.model_validate({"training": training}).resolve(), words=10**6)

    one, two = needs(batch_size=16), needs(batch_size=16, num_devices=2)
    assert two.device_memory_bytes == needs(batch_size=8).device_memory_bytes
    assert (two.steps, two.tokens_per_step) == (one.steps, one.tokens_per_step)
    assert two.seconds["cuda"] == pytest.approx(one.seconds["cuda"] / 2)
    assert two.seconds["cpu"] == one.seconds["cpu"]
