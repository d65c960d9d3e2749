"""Schedules of the sequence length and the batch size: batches, exact resume, compilation."""

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from core.checkpoints.model import build_model
from core.dataset.phases import PhasedBatches
from core.errors import Stopped
from core.events.types import CheckpointData
from core.spec.estimate import estimate
from core.spec.job import JobSpec
from core.spec.plan import make_plan
from core.spec.training import TrainingSpec
from core.storage.file_hashes import hash_file
from core.training.components import build_components
from core.training.execution.device import choose_device

PHASED = {
    "epochs": 4,
    "max_steps": None,
    "seq_length": 32,
    "batch_size": 4,
    "seq_length_schedule": ["16 until 0.5"],
    "batch_size_schedule": ["8 until 0.25", "12 until 0.75"],
}


def shapes(training, num_tokens=1001):
    plan = make_plan(TrainingSpec.model_validate(training), num_tokens=num_tokens)
    return [(each.first_epoch, each.seq_length, each.batch_size) for each in plan.phases]


def test_phases_are_whole_epochs():
    expected = [(0, 16, 8), (1, 16, 12), (2, 32, 12), (3, 32, 4)]
    assert shapes(PHASED) == expected
    assert shapes(PHASED | {"max_steps": 8}) == expected[:1]
    assert shapes({"seq_length": 32, "batch_size": 4}) == [(0, 32, 4)]
    plan = make_plan(TrainingSpec.model_validate(PHASED), num_tokens=1001)
    # 1,000 targets make 63 windows of 16 tokens, or 32 windows of 32 tokens.
    assert [steps for _, steps in plan.parts()] == [8, 6, 3, 8]
    assert [plan.epoch(step) for step in (0, 4, 8, 14, 17, 25)] == [0, 0.5, 1, 2, 3, 4]
    assert plan.last_epoch_ends(3) == (14, 17, 25)


@pytest.mark.parametrize("shuffle", ["windows", "documents"])
def test_every_epoch_predicts_every_token_once(corpus, shuffle):
    tokens = corpus[0]
    training = TrainingSpec.model_validate(PHASED | {"shuffle": shuffle, "seed": 3})
    batches, plan = (
        PhasedBatches(tokens, training),
        make_plan(training, num_tokens=tokens.num_tokens),
    )
    words = targets = 0
    for step in range(1, plan.max_steps + 1):
        batch, phase = batches.batch(step), plan.phase(step)
        assert batch.inputs.shape[1] == phase.seq_length
        assert len(batch.inputs) <= phase.batch_size
        words, targets = words + batch.num_words, targets + batch.num_targets
        assert (batches.words_seen(step), batches.tokens_seen(step)) == (words, targets)
        if plan.epoch(step).is_integer():
            assert words == plan.epoch(step) * tokens.num_words
            assert targets == plan.epoch(step) * (tokens.num_tokens - 1)
    assert batches.words_seen(0) == batches.epoch(0) == 0


def test_a_run_resumes_to_the_last_bit_in_every_phase(tiny_run):
    options = PHASED | {"optimizer": "muon", "shuffle": "documents", "average_last_epochs": 2}
    options |= {"sample_prompts": []}
    alone, stopped = (tiny_run(name=name, **options) for name in ("alone", "stopped"))
    alone.go()
    plan = make_plan(alone.spec.training, num_tokens=alone.train.num_tokens)
    for phase in plan.phases[1:]:
        with pytest.raises(Stopped):
            stopped.go(stop_at=phase.first_step + 1)
    stopped.go()
    assert list(alone.values("train/loss")) == list(range(1, plan.max_steps + 1))
    for name in ("train/loss", "validation/loss", "validation/average_loss"):
        assert stopped.values(name) == alone.values(name), name
    files = [
        hash_file(run.rundir.checkpoint("last") / "model.safetensors") for run in (alone, stopped)
    ]
    assert files[0] == files[1]
    [last] = [event for event in alone.of(CheckpointData) if event.name == "last"]
    assert last.words_seen == 4 * alone.train.num_words


def test_accumulation_and_devices_do_not_change_a_run_with_phases(tiny_run):
    fast = {"eval_steps": 100, "save_steps": 100, "sample_prompts": []}
    one = tiny_run(name="one", **PHASED, **fast)
    two = tiny_run(name="two", **PHASED, **fast, num_devices=2, micro_batch_size=1)
    one.go()
    two.go()
    for name in ("train/loss", "train/grad_norm"):
        assert two.values(name) == pytest.approx(one.values(name), rel=1e-4), name


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_layers_are_compiled_once_for_each_shape(tiny_run):
    """Compiles the layers in place, as a run does, with a backend that counts compilations."""
    run = tiny_run(**PHASED)
    training, vocabulary = run.spec.training, run.train.vocab_size
    plan = make_plan(training, num_tokens=run.train.num_tokens)
    components = build_components(
        run.spec, plan, choose_device(training), vocab_size=vocabulary, rank=0, warn=print
    )
    counter = CompileCounter()
    torch._dynamo.reset()
    for layer in components.model.model.layers:
        layer.compile(backend=counter, dynamic=False)
    components.stepper.probe()
    compiled = counter.frame_count
    assert compiled > 0
    batches = PhasedBatches(run.train, training)
    for _ in range(2):
        for phase in plan.phases:
            components.begin_step(phase.first_step + 1)
            components.stepper.take(batches.batch(phase.first_step + 1), learning_rate=1e-3)
    assert counter.frame_count == compiled


def test_passes_of_shorter_sequences_have_no_more_tokens():
    training = TrainingSpec(seq_length=64, batch_size=24, micro_batch_size=6)
    assert training.micro_batch_size_for(6, 64, 24) == 6
    assert training.micro_batch_size_for(6, 32, 24) == 12
    assert training.micro_batch_size_for(6, 32, 20) == 10
    assert training.micro_batch_size_for(6, 64, 7) == 1


def test_the_estimate_adds_up_the_phases():
    body = {"model": {"architecture": "olmo2"}, "training": PHASED | {"max_steps": None}}
    spec = JobSpec.model_validate(body).resolve()
    found = estimate(spec, words=100_000)
    plain = {name: value for name, value in PHASED.items() if "schedule" not in name}
    other = estimate(JobSpec.model_validate(body | {"training": plain}).resolve(), words=100_000)
    assert found.words_seen == other.words_seen == 400_000
    assert found.steps < other.steps
    assert found.seconds["cpu"] < other.seconds["cpu"]
    assert found.device_memory_bytes > other.device_memory_bytes


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"seq_length_schedule": ["64"]}, 'is not of the form "VALUE until SHARE"'),
        ({"seq_length_schedule": ["256 until 0.5"]}, "between 8 and seq_length 128"),
        ({"seq_length_schedule": ["64 until 0.1"]}, "ends after epoch 0 of 3"),
        ({"seq_length_schedule": ["64 until 0.99"]}, "ends after epoch 3 of 3"),
        ({"seq_length_schedule": ["64 until 0.7", "32 until 0.3"]}, "must rise"),
        ({"batch_size_schedule": ["0 until 0.5"]}, "multiple of num_devices 1"),
        ({"batch_size_schedule": ["9 until 0.5"], "num_devices": 2}, "multiple of num_devices 2"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(training, message):
    with pytest.raises(ValueError, match=message):
        TrainingSpec.model_validate(training)


@pytest.mark.parametrize("architecture", ["olmo2", "gemma2", "llama4"])
def test_a_step_of_each_phase_has_the_loss_and_gradients_of_plain_transformers(
    tiny_run, architecture
):
    """Our model and the plain model compute in float64 on the first batch of the phase."""
    run = tiny_run(architecture, **PHASED)
    batches = PhasedBatches(run.train, run.spec.training)
    plan = make_plan(run.spec.training, num_tokens=run.train.num_tokens)
    from core.training.loss import objective_and_loss
    from core.training.model.attention.select import use_blocks

    for phase in plan.phases:
        batch = batches.batch(phase.first_step + 1)
        ids, targets = torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets)
        ours, plain = (
            build_model(run.spec.model, vocab_size=run.train.vocab_size, seed=0).double()
            for _ in range(2)
        )
        use_blocks(ours)
        objective, _ = objective_and_loss(ours, ids, targets, None, z_loss_coefficient=0.0)
        (objective / batch.num_targets).backward()
        expected = torch.nn.functional.cross_entropy(
            plain(input_ids=ids).logits.flatten(0, 1), targets.flatten()
        )
        expected.backward()
        torch.testing.assert_close(objective / batch.num_targets, expected, rtol=1e-6, atol=0.0)
        for (name, mine), other in zip(ours.named_parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-6, msg=name)
