"""The choices of `auto`, golden losses, and exact compiled runs."""

import os
import shutil
from pathlib import Path

import psutil
import pytest
import torch
from torch._inductor.utils import fresh_cache

from core.errors import SpecInvalid, Stopped
from core.events.types import StageData, WarningData
from core.spec.estimate import step_bytes
from core.spec.job import JobSpec
from core.spec.plan import make_plan
from core.storage.file_hashes import hash_file
from core.training.execution.compiled import CACHE_VARIABLE
from core.training.execution.device import Device
from core.training.execution.micro_batch import MicroBatch
from core.training.execution.plan import MEMORY_SHARE, choose
from core.training.execution.probe import Probe
from core.training.step import Stepper

GOLDEN = {
    "gemma2": [5.686552, 5.507167, 5.315826, 5.179312, 5.112241],
    "llama4": [5.697342, 5.515891, 5.24292, 5.091124, 5.063526],
    "olmo2": [5.686591, 5.488568, 5.301547, 5.158403, 5.081025],
}
"""Losses of steps 1, 5, 10, 15 and 20 of a tiny run: one thread, fp32, seed 0. Other rounding in a
fast path changes them slightly. A change above the tolerance means that the mathematics changed."""
CPU = Device(torch.device("cpu"), "fp32")
CUDA = Device(torch.device("cuda"), "bf16")
"""A device name; no test uses the device."""


def chosen(device=CPU, architecture="gemma2", **training):
    model = {"architecture": architecture} | training.pop("model", {})
    num_tokens = training.pop("num_tokens", 10**6)
    spec = JobSpec.model_validate({"model": model, "training": training}).resolve()
    plan = make_plan(spec.training, num_tokens=num_tokens)
    return choose(spec, plan, device, vocab_size=1000)


def set_free_memory(monkeypatch, free: int) -> None:
    memory = psutil.virtual_memory()._replace(available=free)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)


@pytest.mark.parametrize("architecture", GOLDEN)
def test_golden_losses(tiny_run, architecture):
    run = tiny_run(architecture, max_steps=20, eval_steps=20, save_steps=20, sample_prompts=[])
    run.go()
    losses = run.values("train/loss")
    assert [losses[step] for step in (1, 5, 10, 15, 20)] == pytest.approx(
        GOLDEN[architecture], rel=2e-5
    )


def test_a_cpu_attends_in_blocks_and_compiles_for_a_run_of_hours_only(monkeypatch):
    monkeypatch.setenv("CXX", "g++")
    execution_plan = chosen()
    assert (execution_plan.attention, execution_plan.compile, execution_plan.precision) == (
        "blocks",
        False,
        "fp32",
    )
    assert not chosen(epochs=1).compile
    assert chosen(num_tokens=10**9).compile
    assert not chosen(num_tokens=10**9, compile=False).compile


def test_a_gpu_attends_through_flex_where_scores_are_capped_and_in_blocks_elsewhere():
    assert chosen(CUDA).attention == "flex"
    assert chosen(CUDA, model={"head_dim": 8}).attention == "blocks"
    assert chosen(CUDA, "olmo2").attention == "blocks"
    assert chosen(CUDA, model={"attn_logit_softcapping": None}).attention == "blocks"
    assert chosen(CUDA, "olmo2", packing="documents").attention == "library"


def test_a_gpu_uses_cuda_graphs_if_every_step_is_the_same(monkeypatch):
    monkeypatch.setattr("core.training.execution.compiled.HAS_TRITON", True)
    for architecture in ("gemma2", "llama4", "olmo2"):
        assert chosen(CUDA, architecture, compile=True).cuda_graph
    assert not chosen(CUDA, compile=False).cuda_graph
    assert not chosen(compile=True).cuda_graph
    assert not chosen(Device(torch.device("cuda"), "fp16"), compile=True).cuda_graph
    for field, value in (
        ("packing", "documents"),
        ("attention", "library"),
        ("gradient_checkpointing", True),
    ):
        assert not chosen(CUDA, compile=True, **{field: value}).cuda_graph


def test_dropout_on_attention_leaves_it_to_the_library_and_refuses_blocks():
    assert chosen(model={"attention_dropout": 0.1}).attention == "library"
    with pytest.raises(SpecInvalid, match="dropout"):
        chosen(model={"attention_dropout": 0.1}, attention="blocks")


def test_flex_is_refused_on_a_cpu():
    with pytest.raises(SpecInvalid, match="flex"):
        chosen(attention="flex")


def test_long_documents_of_llama4_keep_their_positions_only_in_blocks():
    documents = {"architecture": "llama4", "packing": "documents", "seq_length": 8192}
    assert chosen(CUDA, **documents).attention == "blocks"
    assert chosen(CUDA, **documents | {"seq_length": 4096}).attention == "library"
    assert chosen(CUDA, **documents | {"packing": "stream"}).attention == "blocks"
    with pytest.raises(SpecInvalid, match="library, which uses positions in the sequence"):
        chosen(CUDA, **documents, attention="library")
    with pytest.raises(SpecInvalid, match="blocks does not support dropout"):
        chosen(CUDA, model={"attention_dropout": 0.1}, **documents)


def test_without_a_compiler_the_run_continues_with_a_warning(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    execution_plan = chosen(compile=True)
    assert not execution_plan.compile
    assert [code for code, _ in execution_plan.warnings] == ["not_compiled"]


@pytest.mark.parametrize(("precision", "codes"), [("fp32", []), ("bf16", ["slow_precision"])])
def test_bf16_without_instructions_for_it_is_warned_of(precision, codes, monkeypatch):
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: False)
    execution_plan = chosen(Device(torch.device("cpu"), precision))
    assert [code for code, _ in execution_plan.warnings] == codes


def test_an_automatic_micro_batch_is_the_largest_divisor_that_fits(monkeypatch):
    sizes = {}
    for free in (10**8, 2 * 10**9, 10**10, 10**13):
        set_free_memory(monkeypatch, free)
        sizes[free] = chosen(
            micro_batch_size="auto", batch_size=48, seq_length=256
        ).micro_batch_size
    assert list(sizes.values()) == sorted(sizes.values())
    assert sizes[10**8] == 1
    assert sizes[10**13] == 48
    assert all(48 % size == 0 for size in sizes.values())
    assert 1 < sizes[10**10] < 48


def test_the_next_smaller_micro_batch_divides_the_batch():
    micro_batches = [MicroBatch(12, gradient_checkpointing=True)]
    while (smaller := micro_batches[-1].smaller(12)) is not None:
        micro_batches.append(smaller)
    assert [micro_batch.micro_batch_size for micro_batch in micro_batches] == [12, 6, 4, 3, 2, 1]
    assert all(micro_batch.gradient_checkpointing for micro_batch in micro_batches)


def test_activations_are_recomputed_only_if_one_sequence_does_not_fit(monkeypatch):
    spec = JobSpec.model_validate(
        {
            "training": {
                "micro_batch_size": "auto",
                "batch_size": 8,
                "seq_length": 4096,
                "device": "cpu",
            }
        }
    ).resolve()
    needs = {
        again: step_bytes(
            spec.model_copy(
                update={
                    "training": spec.training.model_copy(update={"gradient_checkpointing": again})
                }
            ),
            micro_batch_size=1,
            vocab_size=1000,
        )
        for again in (False, True)
    }
    plan = make_plan(spec.training, num_tokens=10**6)

    def choices_with(needed):
        set_free_memory(monkeypatch, int(needed / MEMORY_SHARE) + 2)
        return choose(spec, plan, CPU, vocab_size=1000)

    assert choices_with(needs[False]).micro_batch == MicroBatch(1, gradient_checkpointing=False)
    assert choices_with(needs[True]).micro_batch == MicroBatch(1, gradient_checkpointing=True)
    assert [code for code, _ in choices_with(needs[True]).warnings] == ["gradient_checkpointing"]
    assert not choices_with(needs[False]).warnings


def test_the_probe_tries_fewer_sequences_and_then_recomputation(tiny_run, monkeypatch):
    """On a GPU the estimate of memory may be too low; the trial step shows it."""
    tried = []
    probe = Stepper.probe

    def short_of_memory(stepper, seq_length):
        is_again = any(
            getattr(module, "gradient_checkpointing", False) for module in stepper._model.modules()
        )
        tried.append((stepper.micro_batch_size, is_again))
        if not is_again or stepper.micro_batch_size > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        probe(stepper, seq_length)

    monkeypatch.setattr(Stepper, "probe", short_of_memory)
    monkeypatch.setattr(Probe, "is_needed", True)
    run, plain = (
        tiny_run(name="tried", micro_batch_size="auto", batch_size=4),
        tiny_run(name="plain", micro_batch_size=2, batch_size=4),
    )
    run.go()
    assert tried == [(4, False), (2, False), (1, False), (4, True), (2, True)]
    warnings = [event.code for event in run.events if isinstance(event, WarningData)]
    assert warnings == ["gradient_checkpointing"]
    monkeypatch.undo()
    plain.go()
    assert run.values("train/loss") == plain.values("train/loss")


def test_a_resumed_run_keeps_the_micro_batch_it_began_with(tiny_run, monkeypatch):
    alone, stopped = (
        tiny_run(name=name, micro_batch_size="auto", batch_size=4) for name in ("alone", "stopped")
    )
    alone.go()
    with pytest.raises(Stopped):
        stopped.go(stop_at=6)
    set_free_memory(monkeypatch, 0)
    stopped.go()
    weights = [
        hash_file(run.rundir.checkpoint("last") / "model.safetensors") for run in (alone, stopped)
    ]
    assert weights[0] == weights[1]


def test_the_balancing_loss_evens_the_experts_out_and_is_not_in_the_loss(tiny_run):
    runs = {
        weight: tiny_run(
            "llama4", name=f"weight{weight}", router_aux_loss_coefficient=weight, max_steps=20
        )
        for weight in (0.0, 5.0)
    }
    for run in runs.values():
        run.go()
    balance = {weight: run.values("experts/balance_loss") for weight, run in runs.items()}
    assert balance[0.0][1] == balance[5.0][1]
    assert balance[5.0][20] < balance[0.0][20]
    assert runs[5.0].values("train/loss")[1] == runs[0.0].values("train/loss")[1]


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.system
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns about torch itself
def test_a_compiled_run_resumed_with_a_cold_cache_is_exact(tiny_run, tmp_path, monkeypatch):
    # Compiling takes seconds per kind of layer, but no cheaper test shows equal results.
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    runs = {name: tiny_run("olmo2", name=name, compile=True) for name in ("alone", "stopped")}
    runs["alone"].go(compile_cache=tmp_path / "warm")
    with pytest.raises(Stopped):
        runs["stopped"].go(stop_at=6, compile_cache=tmp_path / "warm")
    torch._dynamo.reset()
    with fresh_cache():
        runs["stopped"].go()
        assert any(Path(os.environ[CACHE_VARIABLE]).rglob("*.so"))  # the run filled the new cache
    stages = [event.stage for event in runs["alone"].of(StageData) if event.state == "finished"]
    assert stages == ["compile", "train"]
    assert not [event for event in runs["stopped"].of(WarningData) if event.code == "not_compiled"]
    weights = {
        name: hash_file(run.rundir.checkpoint("last") / "model.safetensors")
        for name, run in runs.items()
    }
    assert weights["stopped"] == weights["alone"]
    torch._dynamo.reset()
