"""What rank 0 and the other ranks of a run say to each other: a line of JSON each, on a socket.

A rank is one process of a run on several devices. Rank 0 leads: it alone reads the clock, writes
and decides, and tells the others what to do next. No torch here, so that a rank that is still
loading it already notices that rank 0 is gone.
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
    """Refuses what it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Begin(Message):
    """Build the model; then join the group. Answered once the model is built."""

    kind: Literal["begin"] = "begin"
    rank: int
    spec: JobSpec
    plan: Plan
    train: Path
    """Folder of the training tokens."""
    validation: Path | None
    compile_cache: Path | None
    rendezvous: Path
    """A file through which the ranks find each other."""


class Resume(Message):
    """Go to a resume point, or stay at step 0. Answered."""

    kind: Literal["resume"] = "resume"
    folder: Path | None
    micro_batch: MicroBatch


class Probe(Message):
    """Compile, and try a micro-batch. Answered."""

    kind: Literal["warm_up"] = "warm_up"
    micro_batch: MicroBatch
    compile: bool


class Take(Message):
    """Take a step; all ranks meet in it."""

    kind: Literal["take"] = "take"
    step: int


class Validate(Message):
    """Take part in a validation; all ranks meet at its end."""

    kind: Literal["validate"] = "validate"
    averaged: bool = False
    """With the average of the weights instead of the weights."""


class End(Message):
    """Nothing is left to do."""

    kind: Literal["end"] = "end"


class Answer(Message):
    """Of a rank, to what is answered; `failed` also unasked, before its process ends."""

    state: Literal["done", "no_memory", "failed"]
    error: ErrorData | None = None
    """What failed; None where the reason has no name and stands in the log."""


Command = Annotated[Begin | Resume | Probe | Take | Validate | End, Field(discriminator="kind")]
COMMAND: TypeAdapter[Command] = TypeAdapter(Command)


def send(connection: socket.socket, message: Message) -> None:
    """Sends a message.

    Raises:
        OSError: If the other side is gone.
    """
    connection.sendall(message.model_dump_json().encode() + b"\n")


def lines(connection: socket.socket) -> Iterator[bytes]:
    """The messages that arrive, until the other side is gone; a torn last one is dropped."""
    with connection.makefile("rb") as file:
        try:
            for line in file:
                if line.endswith(b"\n"):
                    yield line
        except OSError:  # reset: gone all the same
            return
