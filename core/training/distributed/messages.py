"""Messages between rank 0 and the other ranks of a run: JSON lines on a socket.

A rank is one process of a run on several devices. Only rank 0 reads the clock, writes files and
makes decisions. It sends commands to the other ranks, which answer some of them. This module does
not import torch, so that the other ranks can notice the exit of rank 0 while they still import
torch.
"""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from core.events.types import ErrorData
from core.spec.job import JobSpec
from core.spec.plan import Plan
from core.training.execution.micro_batch import MicroBatch


class Message(BaseModel):
    """Base of the messages; rejects unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Begin(Message):
    """Build the model, answer, then join the process group."""

    kind: Literal["begin"] = "begin"
    rank: int
    spec: JobSpec
    plan: Plan
    train: Path
    """Folder of the training tokens."""
    validation: Path | None
    compile_cache: Path | None
    initial: Path | None = None
    """Folder with the weights of a warm start; None if the weights are random."""
    rendezvous: Path
    """The file through which the ranks find each other."""


class Resume(Message):
    """Restore a resume point, or stay at step 0; then answer."""

    kind: Literal["resume"] = "resume"
    folder: Path | None
    micro_batch: MicroBatch


class Probe(Message):
    """Compile the layers and probe a micro-batch configuration; then answer."""

    kind: Literal["probe"] = "probe"
    micro_batch: MicroBatch
    compile: bool


class Take(Message):
    """Take a training step. All ranks take this step together."""

    kind: Literal["take"] = "take"
    step: int


class Validate(Message):
    """Validate a share of the text; the ranks sum the results at the end."""

    kind: Literal["validate"] = "validate"
    averaged: bool = False
    """Whether to validate the averaged weights instead of the model's own."""


class End(Message):
    """Exit: the run is finished."""

    kind: Literal["end"] = "end"


class Answer(Message):
    """The answer of a rank to a command.

    A rank also sends an answer with the state `failed` before it exits because of an error.
    """

    state: Literal["done", "no_memory", "failed"]
    error: ErrorData | None = None
    """The error if it is a `RunError`. Other errors are only in the log."""


Command = Annotated[Begin | Resume | Probe | Take | Validate | End, Field(discriminator="kind")]
COMMAND: TypeAdapter[Command] = TypeAdapter(Command)


def send(connection: socket.socket, message: Message) -> None:
    """Sends a message.

    Raises:
        OSError: If the other process has closed the connection.
    """
    connection.sendall(message.model_dump_json().encode() + b"\n")


def lines(connection: socket.socket) -> Iterator[bytes]:
    """Yields received lines until the connection is closed; drops an incomplete last line."""
    with connection.makefile("rb") as file:
        try:
            for line in file:
                if line.endswith(b"\n"):
                    yield line
        except OSError:  # a reset connection counts as closed
            return
