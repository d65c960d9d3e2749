"""What computes a step, built the same way in every rank: model, optimizer, stepper."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from core.dataset.batches import Batches
from core.dataset.tokens import TokenFile
from core.plan import Plan
from core.spec import JobSpec
from core.training.attention import use_blocks, use_flex
from core.training.choices import Choices, choose
from core.training.device import Device
from core.training.experts import use_sparse_experts
from core.training.fit import Fit
from core.training.model import build_model, checkpoint_activations
from core.training.optimizer import build_optimizer
from core.training.options import TrainingSpec
from core.training.resume import ResumePoint, load_resume_point
from core.training.share import Share
from core.training.step import Stepper

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What computes a step."""

    model: PreTrainedModel
    choices: Choices
    optimizer: torch.optim.AdamW
    stepper: Stepper
    share: Share | None
    """None where there is one device."""

    def go_to(self, point: ResumePoint) -> None:
        """Puts weights, moments, random states and loss scale back."""
        load_resume_point(point, model=self.model, optimizer=self.optimizer)
        scaler, state = self.stepper.scaler, point.state
        if scaler is not None and state.loss_scale is not None:
            saved = scaler.state_dict()
            saved["scale"] = state.loss_scale
            saved["_growth_tracker"] = state.loss_scale_growth or 0
            scaler.load_state_dict(saved)

    def take_fit(self, fit: Fit) -> None:
        """Takes so much of a batch at once from now on."""
        self.stepper.micro_batch_size = fit.micro_batch_size
        if fit.gradient_checkpointing:
            checkpoint_activations(self.model)


def training_batches(tokens: TokenFile, training: TrainingSpec) -> Batches:
    """The batches of all steps, the same in every rank."""
    return Batches(
        tokens,
        seq_length=training.seq_length,
        batch_size=training.batch_size,
        seed=training.seed,
        packing=training.packing,
    )


def build_parts(
    spec: JobSpec,
    plan: Plan,
    device: Device,
    *,
    vocab_size: int,
    rank: int,
    warn: Callable[[str, str], None],
) -> Parts:
    """The parts of one rank, with fresh weights that depend on the seed alone.

    Raises:
        SpecInvalid: If the spec asks for what this device cannot do.
    """
    training = spec.training
    model = build_model(spec.model, vocab_size=vocab_size, seed=training.seed).to(
        device.torch_device
    )
    choices = choose(spec, plan, device, vocab_size=vocab_size)
    for code, message in choices.warnings:
        warn(code, message)
    log.info("computing with %s", choices.counts())
    routers = use_sparse_experts(model)
    if choices.attention == "blocks":
        use_blocks(model)
    elif choices.attention == "flex":
        use_flex(model)
    optimizer = build_optimizer(model, training)
    share = None
    if training.num_devices > 1:
        share = Share(
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
        micro_batch_size=choices.micro_batch_size,
        share=share,
    )
    parts = Parts(model, choices, optimizer, stepper, share)
    parts.take_fit(choices.fit)
    return parts
