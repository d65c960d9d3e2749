"""The training components: model, optimizer, and the stepper, which takes training steps.

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
from core.spec.job import JobSpec
from core.spec.plan import Plan
from core.storage.model_files import WEIGHTS_FILE
from core.training.distributed.reducer import GradientReducer
from core.training.execution.device import Device
from core.training.execution.micro_batch import MicroBatch
from core.training.execution.plan import ExecutionPlan, choose
from core.training.model.attention.select import use_blocks, use_flex
from core.training.model.dropout import use_residual_dropout
from core.training.model.moe.experts import RouterStatistics, use_sparse_experts
from core.training.optimizers.builders import build_optimizer
from core.training.saving.average import WeightAverage
from core.training.saving.resume import ResumePoint, load_resume_point
from core.training.step import Stepper

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Components:
    """Model, optimizer and stepper of one rank."""

    model: PreTrainedModel
    execution_plan: ExecutionPlan
    optimizer: torch.optim.Optimizer
    stepper: Stepper
    reducer: GradientReducer | None
    """None if the run has one device."""
    average: WeightAverage | None
    """The moving average of the weights; None if the spec sets no `ema_decay`."""

    def after_step(self, step: int) -> None:
        """Updates the average of the weights after a step."""
        if self.average is not None:
            self.average.update(step)

    def averaged_weights(self, is_wanted: bool) -> AbstractContextManager[None]:
        """A context in which the model has its averaged weights.

        Changes nothing if `is_wanted` is False or the run keeps no average.
        """
        if self.average is None or not is_wanted:
            return nullcontext()
        return self.average.swapped()

    def restore(self, point: ResumePoint) -> None:
        """Restores weights, optimizer state, random states and loss scale."""
        load_resume_point(point, model=self.model, optimizer=self.optimizer)
        if self.average is not None:
            self.average.load(point.folder)
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
    routers = _use_own_parts(model, spec, execution_plan)
    optimizer = build_optimizer(model, training)
    average = None
    if training.ema_decay is not None:
        average = WeightAverage(model, decay=training.ema_decay)
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
        reducer=reducer,
    )
    components = Components(model, execution_plan, optimizer, stepper, reducer, average)
    components.use_micro_batch(execution_plan.micro_batch)
    return components


def _use_own_parts(
    model: PreTrainedModel, spec: JobSpec, execution_plan: ExecutionPlan
) -> RouterStatistics:
    """Replaces parts of the library's model with our own; returns the statistics of its routers."""
    routers = use_sparse_experts(model)
    if execution_plan.attention == "blocks":
        use_blocks(model)
    elif execution_plan.attention == "flex":
        use_flex(model)
    if spec.model.dropout:
        branches = spec.model.residual_branches
        use_residual_dropout(model, branches, probability=spec.model.dropout)
    return routers
