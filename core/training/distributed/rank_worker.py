"""Executes the commands of rank 0 in the processes of the other ranks.

A rank is one process of a run on several devices.
"""

import logging
from collections.abc import Callable, Iterator

import torch
from torch import distributed

from core.checkpoints.model import quiet_transformers
from core.dataset.batches import Batches
from core.dataset.tokens import TokenFile
from core.training.components import Components, build_components
from core.training.distributed.messages import Answer, Begin, Command, Probe, Resume, Take, Validate
from core.training.distributed.reducer import join_group, seed_step
from core.training.execution.compiled import compile_layers, uncompile_layers
from core.training.execution.device import Device, choose_device, prepare
from core.training.model.attention.select import eager_mode
from core.training.optimizers.schedule import learning_rate
from core.training.saving.resume import read_resume_point
from core.training.validate import validate

log = logging.getLogger(__name__)

DONE = Answer(state="done")


def run_rank(begin: Begin, commands: Iterator[Command], answer: Callable[[Answer], None]) -> None:
    """Builds the same model as rank 0 and executes `commands` until they end.

    Raises:
        RunError: If the device does not support the spec.
        RuntimeError: If another rank has exited.
    """
    training = begin.spec.training
    train = TokenFile.open(begin.train)
    batches = Batches.of(train, training)
    device, components = _build(begin, vocab_size=train.vocab_size)
    validation = None if begin.validation is None else TokenFile.open(begin.validation)
    answer(DONE)
    join_group(
        device,
        rank=begin.rank,
        num_ranks=training.num_devices,
        rendezvous=begin.rendezvous,
    )
    for command in commands:
        match command:
            case Resume(folder=folder, micro_batch=micro_batch):
                if folder is not None:
                    components.restore(read_resume_point(folder))
                components.use_micro_batch(micro_batch)
                answer(DONE)
            case Probe():
                answer(_probe(components, command, begin))
            case Take(step=step):
                seed_step(training.seed, step=step, rank=begin.rank)
                components.stepper.take(
                    batches.batch(step),
                    learning_rate=learning_rate(step, begin.plan, training),
                )
                components.after_step(step)
            case Validate(averaged=averaged):
                assert validation is not None
                with eager_mode(components.model), components.averaged_weights(averaged):
                    validate(
                        components.model,
                        validation,
                        training=training,
                        device=device,
                        micro_batch_size=components.stepper.micro_batch_size,
                        reducer=components.reducer,
                    )
    distributed.destroy_process_group()


def _build(begin: Begin, *, vocab_size: int) -> tuple[Device, Components]:
    quiet_transformers()
    device = choose_device(begin.spec.training)
    if device.is_cuda:
        torch.cuda.set_device(begin.rank)
    prepare(device, begin.spec.training)
    components = build_components(
        begin.spec,
        begin.plan,
        device,
        vocab_size=vocab_size,
        rank=begin.rank,
        initial=begin.initial,
        warn=lambda code, message: log.info("%s: %s", code, message),  # rank 0 warns the user
    )
    return device, components


def _probe(components: Components, command: Probe, begin: Begin) -> Answer:
    components.use_micro_batch(command.micro_batch)
    uncompile_layers(components.model)
    if command.compile:
        compile_layers(components.model, cache=begin.compile_cache)
    try:
        components.stepper.probe(begin.spec.training.seq_length)
    except torch.OutOfMemoryError:
        return Answer(state="no_memory")
    return DONE
