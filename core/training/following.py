"""What a rank other than 0 does: the steps that it is told to take, and nothing of its own."""

import logging
from collections.abc import Callable, Iterator

import torch
from torch import distributed

from core.dataset.tokens import TokenFile
from core.training.attention import as_written
from core.training.compiled import compile_layers, uncompile_layers
from core.training.device import choose_device, prepare
from core.training.messages import Answer, Begin, Command, Resume, Take, Validate, WarmUp
from core.training.model import quiet_transformers
from core.training.parts import Parts, build_parts, training_batches
from core.training.resume import read_resume_point
from core.training.schedule import learning_rate
from core.training.share import join_group, seed_step
from core.training.validate import validate

log = logging.getLogger(__name__)

DONE = Answer(state="done")


def follow(begin: Begin, commands: Iterator[Command], answer: Callable[[Answer], None]) -> None:
    """Builds the same model as rank 0 and does what `commands` say, until they end.

    Raises:
        RunError: If this device cannot do what the spec asks for.
        RuntimeError: If another rank is gone.
    """
    quiet_transformers()
    training = begin.spec.training
    device = choose_device(training)
    if device.is_cuda:
        torch.cuda.set_device(begin.rank)
    prepare(device, training)
    train = TokenFile.open(begin.train)
    batches = training_batches(train, training)
    parts = build_parts(
        begin.spec,
        begin.plan,
        device,
        vocab_size=train.vocab_size,
        rank=begin.rank,
        warn=lambda code, message: log.info("%s: %s", code, message),  # rank 0 warns the user
    )
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
            case Resume(folder=folder, fit=fit):
                if folder is not None:
                    parts.go_to(read_resume_point(folder))
                parts.take_fit(fit)
                answer(DONE)
            case WarmUp():
                answer(_warm_up(parts, command, begin))
            case Take(step=step):
                seed_step(training.seed, step=step, rank=begin.rank)
                parts.stepper.take(
                    batches.batch(step),
                    learning_rate=learning_rate(step, begin.plan, training),
                )
            case Validate():
                assert validation is not None
                with as_written(parts.model):
                    validate(
                        parts.model,
                        validation,
                        training=training,
                        device=device,
                        micro_batch_size=parts.stepper.micro_batch_size,
                        share=parts.share,
                    )
    distributed.destroy_process_group()


def _warm_up(parts: Parts, command: WarmUp, begin: Begin) -> Answer:
    parts.take_fit(command.fit)
    uncompile_layers(parts.model)
    if command.compile:
        compile_layers(parts.model, cache=begin.compile_cache)
    try:
        parts.stepper.warm_up(begin.spec.training.seq_length)
    except torch.OutOfMemoryError:
        return Answer(state="no_memory")
    return DONE
