"""Resources that a job needs, and where it may run. This module does not import torch."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from core.spec.section import Section

MAX_GPUS = 64
MAX_MEMORY_BYTES = 1 << 50
MAX_TIME_LIMIT_SECONDS = 366 * 86_400
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
MEMORY = re.compile(r"\A(\d{1,15})\s*([KMGT]?)(?:i?B)?\Z", re.IGNORECASE)
DURATION = re.compile(r"\A(?:(\d{1,3})-)?(\d{1,4}):([0-5]\d):([0-5]\d)\Z")
SAFE_VALUE = re.compile(r"\A[A-Za-z0-9_.,:;=+&|*@/()\[\]%!-]{1,200}\Z")

SlurmOption = Literal[
    "account",
    "constraint",
    "cpus-per-task",
    "exclude",
    "gres",
    "licenses",
    "nice",
    "nodelist",
    "partition",
    "qos",
    "reservation",
    "tmp",
]
"""Options of sbatch that a job may set. Options that name files, users, programs or environment
variables are excluded for security: permission to submit a job must not allow running any other
program."""


def _bytes_of(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = MEMORY.match(value)
    if found is None:
        raise ValueError('must be a number of bytes, or text such as "16G" or "512M"')
    return int(found[1]) * UNITS[found[2].upper()]


def _seconds_of(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = DURATION.match(value)
    if found is None:
        raise ValueError('must be a number of seconds, or text such as "4:00:00" or "2-12:00:00"')
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


class ResourceSpec(Section):
    """Where a job may run, and the resources it needs."""

    where: Literal["any", "local", "slurm"] = Field(
        default="any",
        description="local: on workers that you start; slurm: in jobs that `babylm provision "
        "slurm` submits to a cluster; any: on the first free worker of either kind.",
    )
    gpus: int | None = Field(
        default=None,
        ge=0,
        le=MAX_GPUS,
        description="Number of GPUs that the job requires. null: `training.num_devices` GPUs if "
        "`training.device` is cuda, none if it is auto or cpu.",
    )
    memory: Annotated[int, BeforeValidator(_bytes_of)] | None = Field(
        default=None,
        ge=1 << 20,
        le=MAX_MEMORY_BYTES,
        description='Bytes of host memory, or text such as "16G". Workers with less do not take '
        "the job, and Slurm jobs request this amount. null: every worker may take the job, and "
        "Slurm jobs request the estimated host memory.",
    )
    time_limit: Annotated[int, BeforeValidator(_seconds_of)] | None = Field(
        default=None,
        ge=60,
        le=MAX_TIME_LIMIT_SECONDS,
        description='Maximum seconds of one Slurm job, or text such as "4:00:00". Before the limit '
        "expires, the job saves a checkpoint and continues in another Slurm job. null: the value "
        "of a `--time` line in the site's template, or else half an hour more than twice the "
        "estimated training time.",
    )
    extra: dict[SlurmOption, Annotated[str, Field(max_length=200)]] = Field(
        default_factory=dict,
        description='Further options of sbatch, such as {"partition": "gpu", "qos": "long"}.',
    )

    @field_validator("extra")
    @classmethod
    def _values_are_plain(cls, extra: dict[SlurmOption, str]) -> dict[SlurmOption, str]:
        for name, value in extra.items():
            if not SAFE_VALUE.match(value):
                raise ValueError(
                    f"{name} is {value!r}: use 1 to 200 letters, digits and _.,:;=+&|*@/()[]%!-"
                )
        return extra
