"""The training components: model, optimizer, stepper.

A run has one process for each device. Each of these processes is called a rank, and builds the
components.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from core.checkpoints.model import build_model, checkpoint_activations, load_weights
from core.events.types import AverageKind
from core.spec.job import JobSpec
from core.spec.plan import Plan
from core.storage.model_files import WEIGHTS_FILE
from core.training.distributed.reducer import GradientReducer
from core.training.execution.device import Device
from core.training.execution.micro_batch import MicroBatch
from core.training.execution.plan import ExecutionPlan, choose
from core.training.model.attention.select import use_blocks, use_flex
from core.training.model.dropout import use_residual_dropout
from core.training.model.moe.experts import use_sparse_experts
from core.training.optimizers.builders import build_optimizer
from core.training.saving.average import WeightAverage, build_averages
from core.training.saving.resume import ResumePoint, load_resume_point
from core.training.step import Stepper

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Components:
    """Model, optimizer and stepper of one rank."""

    plan: Plan
    model: PreTrainedModel
    execution_plan: ExecutionPlan
    optimizer: torch.optim.Optimizer
    stepper: Stepper
    reducer: GradientReducer | None
    """None if the run has one device."""
    averages: dict[AverageKind, WeightAverage]
    """The averages of the weights, by their kind; empty if the spec requests none."""

    def begin_step(self, step: int) -> None:
        """Prepares the stepper for the batch size and the sequence length of a step."""
        phase = self.plan.phase(step)
        self.stepper.use_shape(batch_size=phase.batch_size, seq_length=phase.seq_length)

    def after_step(self, step: int) -> None:
        """Updates the averages of the weights after a step."""
        for average in self.averages.values():
            average.update(step)

    def averaged_weights(self, kind: AverageKind | None) -> AbstractContextManager[None]:
        """A context in which the model has averaged weights; if `kind` is None, its own weights."""
        return nullcontext() if kind is None else self.averages[kind].swapped()

    def restore(self, point: ResumePoint) -> None:
        """Restores weights, optimizer state, random states and loss scale."""
        load_resume_point(point, model=self.model, optimizer=self.optimizer)
        for average in self.averages.values():
            average.load(point.folder)
        scaler, state = self.stepper.scaler, point.state
        if scaler is not None and state.loss_scale is not None:
            saved = scaler.state_dict()
            saved["scale"] = state.loss_scale
            saved["_growth_tracker"] = state.loss_scale_growth or 0
            scaler.load_state_dict(saved)

    def use_micro_batch(self, micro_batch: MicroBatch) -> None:
        """Applies a micro-batch configuration to the following steps."""
        self.stepper.micro_batch_size = micro_batch.micro_batch_size
        if micro_batch.gradient_checkpointing:
            checkpoint_activations(self.model)


def build_components(
    spec: JobSpec,
    plan: Plan,
    device: Device,
    *,
    vocab_size: int,
    rank: int,
    warn: Callable[[str, str], None],
    initial: Path | None = None,
) -> Components:
    """The components of one rank.

    The initial weights are loaded from the folder `initial`. If it is None, they are random and
    depend only on the seed.

    Raises:
        SpecInvalid: If the device does not support the spec.
    """
    training = spec.training
    model = build_model(spec.model, vocab_size=vocab_size, seed=training.seed).to(
        device.torch_device
    )
    if initial is not None:
        load_weights(model, initial / WEIGHTS_FILE)
    execution_plan = choose(spec, plan, device, vocab_size=vocab_size)
    for code, message in execution_plan.warnings:
        warn(code, message)
    log.info("computing with %s", execution_plan.counts())
    routers = use_sparse_experts(model)
    if execution_plan.attention == "blocks":
        use_blocks(model)
    elif execution_plan.attention == "flex":
        use_flex(model)
    if spec.model.dropout:
        branches = spec.model.residual_branches
        use_residual_dropout(model, branches, probability=spec.model.dropout)
    optimizer = build_optimizer(model, training)
    averages = build_averages(model, training, plan)
    reducer = None
    if training.num_devices > 1:
        reducer = GradientReducer(
            list(model.parameters()),
            rank=rank,
            num_ranks=training.num_devices,
            device=device,
            num_routed=routers.num_sums,
        )
    stepper = Stepper(
        model=model,
        optimizer=optimizer,
        training=training,
        device=device,
        routers=routers,
        micro_batch_size=execution_plan.micro_batch_size,
        shapes=[(phase.batch_size, phase.seq_length) for phase in plan.phases],
        reducer=reducer,
    )
    components = Components(plan, model, execution_plan, optimizer, stepper, reducer, averages)
    components.use_micro_batch(execution_plan.micro_batch)
    return components
