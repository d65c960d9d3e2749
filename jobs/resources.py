"""Matches jobs with workers: the resources that a job needs and those that a slot offers.

A worker has one or more slots. Each slot runs one job at a time.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, or_
from sqlmodel import col

from core.evaluation.finetune.estimate import largest_step_bytes
from core.spec.estimate import TRAINING_BYTES_PER_PARAMETER, estimate, state_bytes
from core.spec.job import JobSpec
from jobs.tables import Job, WorkerRow

Where = Literal["local", "slurm"]
WEIGHT_BYTES = 4
"""Number of bytes of a parameter in float32."""
PROGRAM_BYTES = 3 << 30
"""Bytes of host memory that Python, torch and the CUDA libraries use, without the model."""
DEVICE_PROGRAM_BYTES = 1 << 30
"""Bytes of device memory that a CUDA context, torch's libraries and their workspaces use."""
MEMORY_MARGIN = 1.25
"""Factor on a memory estimate. Slurm kills a job that exceeds its memory limit, and a process that
exceeds its part of a shared device takes memory from other jobs."""
GIB = 1 << 30


@dataclass(frozen=True)
class Offer:
    """The resources of one slot of a worker."""

    where: Where = "local"
    gpus: int = 0
    memory_bytes: int | None = None
    """Memory of the host; None if unknown."""
    device_memory_bytes: int | None = None
    """Memory of the smallest device; None if unknown."""
    job_id: str | None = None
    """The only job that the worker accepts, if it is a pilot (a worker that Slurm starts for one
    job)."""


@dataclass(frozen=True)
class Needs:
    """The resources that a job needs, as columns of its row. A claim compares them to an offer."""

    where_allowed: str
    num_gpus: int
    """Number of GPUs that the job uses on a machine with GPUs."""
    needs_gpu: bool
    """False if the job also runs on a machine without GPUs."""
    min_memory_bytes: int
    min_device_memory_bytes: int
    """Bytes of the weights and the optimizer state. A device with less memory cannot train the
    model at all."""
    device_bytes: int | None = None
    """Expected peak of the device memory of a process, in bytes, with a margin. A job on a shared
    device claims this number of bytes. It is 0 if the task is `tokenizer`. It is None if the peak
    is unknown; then the job shares no device."""


def needs_of(spec: JobSpec) -> Needs:
    """The resources that a resolved spec needs."""
    resources, training = spec.resources, spec.training
    uses_gpu = training.device != "cpu" and spec.task != "tokenizer"
    devices = training.num_devices if uses_gpu else 0
    gpus = devices if resources.gpus is None else resources.gpus
    state = 0
    if spec.task != "tokenizer":
        vocab_size = spec.tokenizer.vocab_size
        weights = WEIGHT_BYTES * spec.model.num_parameters(vocab_size=vocab_size)
        state = weights + state_bytes(spec, vocab_size=vocab_size)
    return Needs(
        where_allowed=resources.where,
        num_gpus=gpus,
        needs_gpu=bool(resources.gpus)
        or (uses_gpu and (training.device == "cuda" or training.precision == "fp16")),
        min_memory_bytes=resources.memory or 0,
        min_device_memory_bytes=state,
        device_bytes=device_bytes(spec),
    )


def device_bytes(spec: JobSpec) -> int | None:
    """Expected peak of the device memory of a run, with a margin; 0 if it trains a tokenizer.

    None if the peak is unknown: such a run shares no device.
    """
    if spec.task == "tokenizer":
        return 0
    if spec.task == "finetune":
        expected = largest_step_bytes(spec)
    else:
        expected = estimate(spec, words=None).device_memory_bytes
    return None if expected is None else int(expected * MEMORY_MARGIN) + DEVICE_PROGRAM_BYTES


def host_memory_bytes(spec: JobSpec) -> int:
    """Bytes of memory to request from Slurm: the value of the spec, or an estimate in whole GiB."""
    if spec.resources.memory is not None:
        return spec.resources.memory
    if slurm_gpus(spec):
        parameters = spec.model.num_parameters(vocab_size=spec.tokenizer.vocab_size)
        model = parameters * TRAINING_BYTES_PER_PARAMETER  # the host holds a copy for a while
    else:
        model = estimate(spec, words=None).device_memory_bytes if spec.task != "tokenizer" else 0
    wanted = int(model * MEMORY_MARGIN) + PROGRAM_BYTES
    return -(-wanted // GIB) * GIB


def slurm_gpus(spec: JobSpec) -> int:
    """Number of GPUs to request from Slurm."""
    return needs_of(spec).num_gpus


def can_run(offer: Offer) -> ColumnElement[bool]:
    """The SQL condition for jobs that a slot with this offer can run."""
    if offer.job_id is not None:
        return col(Job.id) == offer.job_id
    conditions: list[ColumnElement[bool]] = [
        col(Job.where_allowed).in_(("any", offer.where)),
        col(Job.num_gpus) <= offer.gpus if offer.gpus else col(Job.needs_gpu).is_(False),
    ]
    if offer.memory_bytes is not None:
        conditions.append(col(Job.min_memory_bytes) <= offer.memory_bytes)
    if offer.device_memory_bytes is not None:
        fits = col(Job.min_device_memory_bytes) <= offer.device_memory_bytes
        conditions.append(or_(col(Job.min_device_memory_bytes) == 0, fits))
    return and_(*conditions)


def serves(offer: Offer, job: Job) -> bool:
    """The same decision as `can_run`, for a loaded row."""
    if offer.job_id is not None:
        return job.id == offer.job_id
    has_gpus = job.num_gpus <= offer.gpus if offer.gpus else not job.needs_gpu
    return (
        job.where_allowed in ("any", offer.where)
        and has_gpus
        and job.min_memory_bytes <= _known(offer.memory_bytes)
        and job.min_device_memory_bytes <= _known(offer.device_memory_bytes)
    )


def _known(size: int | None) -> float:
    return float("inf") if size is None else size


def offer_row(offer: Offer) -> dict[str, Any]:  # any JSON value
    """The offer as JSON, for the row of the worker."""
    return asdict(offer)


def offer_of(worker: WorkerRow) -> Offer:
    """The offer of each slot of a worker, from its row."""
    return Offer(**worker.offer) if worker.offer else Offer()


def measured_rates(workers: Sequence[WorkerRow]) -> dict[str, float]:
    """Measured floating-point operations per second of the fastest device of each kind."""
    rates: dict[str, float] = {}
    for worker in workers:
        for device in worker.devices:
            rate = device.get("flops_per_second")
            if worker.queue == "train" and rate is not None:
                rates[device["kind"]] = max(rate, rates.get(device["kind"], 0.0))
    return rates


def unserved_reason(job: Job, offers: Sequence[Offer]) -> str:
    """The reason why none of the offers can run the job."""
    local = [offer for offer in offers if offer.where in _places(job)]
    if not local:
        return f"resources.where is {job.where_allowed} and no worker runs there"
    if job.needs_gpu and not any(offer.gpus >= job.num_gpus for offer in local):
        most = max(offer.gpus for offer in local)
        return f"the job needs {job.num_gpus} GPUs and the largest worker slot has {most}"
    if job.num_gpus and all(0 < offer.gpus < job.num_gpus for offer in local):
        most = max(offer.gpus for offer in local)
        return f"the job needs {job.num_gpus} GPUs and the largest worker slot has {most}"
    memory = max(_known(offer.memory_bytes) for offer in local)
    if job.min_memory_bytes > memory:
        return (
            f"the job needs {job.min_memory_bytes:,} bytes of host memory and the largest worker "
            f"has {memory:,}"
        )
    device = max(_known(offer.device_memory_bytes) for offer in local)
    if job.min_device_memory_bytes > device:
        return (
            f"weights and optimizer need {job.min_device_memory_bytes:,} bytes of device memory "
            f"and the largest device has {device:,}"
        )
    return (
        f"no worker has all that the job needs: {job.num_gpus} GPUs, {job.min_memory_bytes:,} "
        f"bytes of host memory and {job.min_device_memory_bytes:,} bytes of device memory"
    )


def _places(job: Job) -> tuple[str, ...]:
    return ("local", "slurm") if job.where_allowed == "any" else (job.where_allowed,)
