"""Clipping, guards, scaling, resuming and estimates of every optimizer."""

import copy

import pytest
import torch

from core.archs import ARCHITECTURES
from core.checkpoints.model import build_model
from core.dataset.batches import Batch
from core.errors import Stopped
from core.spec.estimate import state_bytes
from core.spec.job import JobSpec
from core.spec.optimizers import OPTIMIZERS, OptimizerKind
from core.storage.file_hashes import hash_file
from core.training.execution.device import Device
from core.training.model.moe.experts import use_sparse_experts
from core.training.optimizers.builders import BUILDERS, build_optimizer
from core.training.optimizers.fused_adamw import (
    guarded_step,
    optimizer_tensors,
    set_learning_rate,
)
from core.training.optimizers.muon_update import orthogonalize
from core.training.step import Stepper

CPU = Device(torch.device("cpu"), "fp32")


def build_sgd(model, training):
    """An optimizer that does not support `grad_scale` and creates its state at the first step."""
    groups = [
        {
            "params": list(model.parameters()),
            "lr_scale": 1.0,
            "state_names": ("momentum_buffer",),
        }
    ]
    return torch.optim.SGD(groups, lr=training.learning_rate, momentum=0.9, foreach=True)


SGD = OptimizerKind(
    name="sgd",
    description="SGD with momentum",
    source="Sutskever et al. 2013",
    applies_grad_scale=False,
    num_state_elements=lambda model, vocab_size: model.num_parameters(vocab_size=vocab_size),
)
NAMES = (*OPTIMIZERS, "sgd")


@pytest.fixture(autouse=True)
def _register_sgd(monkeypatch):
    monkeypatch.setitem(OPTIMIZERS, "sgd", SGD)
    monkeypatch.setitem(BUILDERS, "sgd", build_sgd)
    torch.set_num_threads(1)


def make_spec(optimizer: str, architecture: str = "olmo2", **training) -> JobSpec:
    model = {"architecture": architecture, "hidden_size": 16, "num_hidden_layers": 2}
    if architecture == "llama4":
        model["num_local_experts"] = 2
    body = {"seq_length": 16, "batch_size": 4, "optimizer": optimizer, "weight_decay": 0.1}
    return JobSpec.model_validate(
        {"model": model, "tokenizer": {"vocab_size": 300}, "training": body | training}
    ).resolve()


def make_stepper(spec: JobSpec, device: Device = CPU) -> tuple[Stepper, torch.nn.Module]:
    model = build_model(spec.model, vocab_size=300, seed=0)
    routers = use_sparse_experts(model)
    optimizer = build_optimizer(model, spec.training)
    stepper = Stepper(
        model=model,
        optimizer=optimizer,
        training=spec.training,
        device=device,
        routers=routers,
        micro_batch_size=4,
    )
    return stepper, model


def some_batch(seed: int = 0) -> Batch:
    ids = torch.randint(3, 300, (4, 17), generator=torch.Generator().manual_seed(seed)).numpy()
    return Batch(ids[:, :-1].copy(), ids[:, 1:].copy(), 64, 64)


def state_of(stepper, model) -> dict[str, torch.Tensor]:
    tensors = {name: each.clone() for name, each in model.state_dict().items()}
    kept = optimizer_tensors(model, stepper._optimizer)
    return tensors | {name: each.clone() for name, each in kept.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_step_with_clipping_is_one_on_smaller_gradients(name):
    spec = make_spec(name, max_grad_norm=0.01)
    stepper, model = make_stepper(spec)
    by_hand = copy.deepcopy(model)
    optimizer = build_optimizer(by_hand, spec.training)
    for seed in range(3):
        stepper.take(some_batch(seed), learning_rate=1e-3)
        batch = some_batch(seed)
        ids, targets = torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets)
        logits = by_hand(input_ids=ids).logits
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
        torch.nn.utils.clip_grad_norm_(by_hand.parameters(), 0.01)
        set_learning_rate(optimizer, 1e-3)
        optimizer.step()
    for (label, ours), theirs in zip(model.named_parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-5, msg=label)


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_that_is_not_finite_changes_neither_weights_nor_state(name):
    stepper, model = make_stepper(make_spec(name))
    stepper.take(some_batch(), learning_rate=0.01)
    before = state_of(stepper, model)
    hook = next(model.parameters()).register_hook(lambda gradient: gradient * float("nan"))
    stepper.take(some_batch(1), learning_rate=0.01)
    hook.remove()
    stepper.take(some_batch(2), learning_rate=0.01)
    assert stepper.found_inf
    after = state_of(stepper, model)
    assert before.keys() == after.keys()
    for label, tensor in before.items():
        assert tensor.equal(after[label]), label


@pytest.mark.parametrize("name", NAMES)
def test_fp16_scaling_skips_overflows_and_then_steps_on_unscaled_gradients(name):
    spec = make_spec(name)
    stepper, model = make_stepper(spec, Device(torch.device("cpu"), "fp16"))
    plain, reference = make_stepper(spec)
    fresh = state_of(stepper, model)
    skipped = 0
    while all(each.equal(fresh[label]) for label, each in model.state_dict().items()):
        for label, tensor in state_of(stepper, model).items():
            assert tensor.equal(fresh[label]), label
        scale = stepper.scaler.get_scale()
        stepper.take(some_batch(), learning_rate=1e-3)
        skipped += stepper.scaler.get_scale() == scale / 2
        assert skipped < 30
    assert skipped  # torch's first scale, 65,536, overflows here
    assert not stepper.found_inf
    plain.take(some_batch(), learning_rate=1e-3)
    # Only the embeddings are compared, because the values in the MLPs of such a small model are too
    # small for fp16.
    start = fresh["model.embed_tokens.weight"]
    moved, expected = (
        (each.model.embed_tokens.weight.detach() - start).flatten() for each in (model, reference)
    )
    assert torch.nn.functional.cosine_similarity(moved, expected, dim=0) > 0.9
    assert moved.norm().item() == pytest.approx(expected.norm().item(), rel=0.2)


@pytest.mark.parametrize("name", NAMES)
def test_in_fp16_nothing_changes_after_a_loss_that_is_not_finite(name):
    stepper, model = make_stepper(make_spec(name), Device(torch.device("cpu"), "fp16"))
    stepper.scaler = torch.amp.GradScaler("cpu", init_scale=1.0)  # does not overflow
    with model.model.norm.register_forward_hook(lambda *call: call[-1] * float("inf")):
        stepper.take(some_batch(), learning_rate=1e-3)
    before = state_of(stepper, model)
    for _ in range(3):  # the losses are finite, but the flag stays set
        assert stepper.take(some_batch(), learning_rate=1e-3).loss.isfinite()
        assert all(before[label].equal(each) for label, each in state_of(stepper, model).items())
    assert stepper.found_inf


@pytest.mark.parametrize("name", NAMES)
def test_in_fp16_a_loss_that_is_not_finite_skips_its_own_step(name):
    stepper, model = make_stepper(make_spec(name), Device(torch.device("cpu"), "fp16"))
    stepper.scaler = torch.amp.GradScaler("cpu", init_scale=1.0)  # does not overflow
    batch = some_batch()
    with torch.no_grad():  # the logits of the targets overflow to -inf, the gradients do not
        model.lm_head.weight[torch.from_numpy(batch.targets)] = -6e4
    before = state_of(stepper, model)
    finite = []
    model.lm_head.weight.register_post_accumulate_grad_hook(
        lambda weight: finite.append(weight.grad.isfinite().all().item())
    )
    with model.model.norm.register_forward_hook(lambda *call: torch.ones_like(call[-1])):
        assert stepper.take(batch, learning_rate=1e-3).loss == float("inf")
    assert finite == [True]
    for label, each in state_of(stepper, model).items():
        assert before[label].equal(each), label


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", NAMES)
def test_the_state_is_as_large_as_the_estimate_says(name, architecture):
    spec = make_spec(name, architecture)
    stepper, model = make_stepper(spec)
    stepper.take(some_batch(), learning_rate=0.01)
    kept = optimizer_tensors(model, stepper._optimizer)
    size = sum(each.nbytes for label, each in kept.items() if not label.endswith(":step"))
    assert size == state_bytes(spec, vocab_size=300)


@pytest.mark.parametrize("name", NAMES)
def test_every_group_declares_what_the_loop_needs(name):
    stepper, model = make_stepper(make_spec(name))
    groups = stepper._optimizer.param_groups
    assert all({"lr_scale", "state_names"} <= set(group) for group in groups)
    members = [id(each) for group in groups for each in group["params"]]
    assert sorted(members) == sorted(id(each) for each in model.parameters())
    assert groups[0]["lr_scale"] == 1.0, "train/learning_rate is the rate of the first group"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("step", [3, 6])
def test_a_stopped_run_ends_as_an_undisturbed_one(tiny_run, name, step):
    alone, stopped = (tiny_run(name=each, optimizer=name) for each in ("alone", "stopped"))
    alone.go()
    with pytest.raises(Stopped):
        stopped.go(stop_at=step)
    stopped.go()
    assert stopped.values("train/loss") == alone.values("train/loss")
    hashes = {
        hash_file(run.rundir.checkpoint("last") / "model.safetensors") for run in (alone, stopped)
    }
    assert len(hashes) == 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_muon_learns_with_every_architecture(tiny_run, architecture):
    run = tiny_run(architecture, optimizer="muon")
    run.go()
    losses = run.values("train/loss")
    assert losses[12] < losses[1] - 0.3


def test_muon_on_two_devices_ends_as_on_one(tiny_run):
    one = tiny_run(name="one", optimizer="muon", max_steps=4)
    two = tiny_run(name="two", optimizer="muon", max_steps=4, num_devices=2)
    one.go()
    two.go()
    for step, loss in one.values("train/loss").items():
        assert two.values("train/loss")[step] == pytest.approx(loss, rel=1e-4)


def test_muon_updates_matrices_as_torch_does():
    model = build_model(make_spec("muon").model, vocab_size=300, seed=0)
    spec = make_spec("muon", muon_learning_rate=0.03)
    ours = build_optimizer(model, spec.training)
    theirs_model = copy.deepcopy(model)
    matrices = [each for each in theirs_model.model.layers.parameters() if each.ndim == 2]
    theirs = torch.optim.Muon(matrices, lr=0.03, weight_decay=0.1, momentum=0.95)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        for mine, other in zip(model.parameters(), theirs_model.parameters(), strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            other.grad = mine.grad.clone()
        set_learning_rate(ours, spec.training.learning_rate)
        guarded_step(ours, applies_grad_scale=True, grad_scale=None, found_inf=torch.zeros(()))
        theirs.step()
    for mine, other in zip(
        model.model.layers.parameters(), theirs_model.model.layers.parameters(), strict=True
    ):
        if mine.ndim == 2:  # a large tolerance: torch computes in bf16
            torch.testing.assert_close(mine, other, rtol=0.0, atol=3 * 0.03 * 0.02)


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 24, 8), (2, 8, 24)])
def test_orthogonalized_matrices_have_singular_values_near_one(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalize(matrices))
    # Jordan et al. 2024: the iteration gives singular values from about 0.7 to 1.2.
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_expert_weights_are_updated_matrix_by_matrix():
    spec = make_spec("muon", "llama4", weight_decay=0.0)
    model = build_model(spec.model, vocab_size=300, seed=0)
    optimizer = build_optimizer(model, spec.training)
    experts = [each for each in model.model.layers.parameters() if each.ndim == 3]
    assert experts
    before = [each.detach().clone() for each in experts]
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    experts[0].grad = torch.randn_like(experts[0])
    experts[0].grad[1] = 0.0
    set_learning_rate(optimizer, 1e-3)
    optimizer.step()
    assert not experts[0][0].equal(before[0][0])
    assert experts[0][1].equal(before[0][1])


def test_every_optimizer_has_a_builder():
    assert set(BUILDERS) == set(OPTIMIZERS)


def test_an_unknown_optimizer_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match="must be one of adamw, muon"):
        make_spec("lion")
