"""The batch script of a pilot, made from the site's template, and the options of `sbatch`."""

import shlex
from collections.abc import Sequence
from importlib.resources import files
from math import ceil
from pathlib import Path

from core.process.program import safe_python
from core.spec.job import JobSpec
from jobs.errors import SlurmError
from jobs.resources import host_memory_bytes, slurm_gpus
from jobs.settings import Settings
from jobs.tables import Placement

WARNING_SECONDS = 90
"""Seconds before the time limit at which Slurm sends a signal to the pilot."""
GRACE_SECONDS = 75
"""Seconds that the training process has for its last checkpoint; less than `WARNING_SECONDS`."""
IDLE_SECONDS = 30
MIB = 1 << 20
ARGUMENTS, PYTHON = "{arguments}", "{python}"


def read_template(path: Path | None) -> str:
    """Reads the site's template, or the built-in one.

    Raises:
        SlurmError: If the template is not readable or does not end with `exec ... {arguments}`.
    """
    try:
        text = (
            (files("jobs.slurm") / "pilot.sh").read_text()
            if path is None
            else path.read_text(encoding="utf-8")
        )
    except (OSError, UnicodeDecodeError) as error:
        raise SlurmError(f"the Slurm template {path} cannot be read: {error}") from error
    lines = [line.strip() for line in text.splitlines()]
    code = [line for line in lines if line and not line.startswith("#")]
    if not text.startswith("#!"):
        raise SlurmError(f"the Slurm template {path} must begin with #!, such as #!/bin/bash")
    if not code or not code[-1].startswith("exec ") or ARGUMENTS not in code[-1]:
        last = code[-1] if code else "nothing"
        raise SlurmError(
            f"the Slurm template {path} ends with {last!r}: the last line must be "
            f"`exec ... {ARGUMENTS}`, so that the pilot receives Slurm's signal before the time "
            "limit"
        )
    return text


def make_script(template: str, placement: Placement, *, settings_file: Path) -> str:
    """The batch script of a pilot."""
    arguments = [
        *("--job", placement.job_id, "--attempt", str(placement.attempt)),
        *("--exit-when-idle", str(IDLE_SECONDS), "--grace-seconds", str(GRACE_SECONDS)),
        *("--settings-file", str(settings_file)),
    ]
    filled = template.replace(ARGUMENTS, shlex.join(arguments))
    return filled.replace(PYTHON, shlex.join(safe_python()))


def sbatch_options(
    spec: JobSpec, placement: Placement, *, log_folder: Path, minutes: int | None
) -> Sequence[str]:
    """The options of `sbatch`, which override `#SBATCH` lines of the template.

    `minutes` is the time limit. If it is None, the limit of the template or of the partition
    applies.
    """
    resources, gpus = spec.resources, slurm_gpus(spec)
    options = [
        "--parsable",
        "--no-requeue",  # the provisioner submits a new pilot for the next attempt
        f"--signal=B:TERM@{WARNING_SECONDS}",
        f"--job-name={placement.name}",
        f"--output={log_folder}/%x-%j.log",
        "--open-mode=append",
        f"--mem={ceil(host_memory_bytes(spec) / MIB)}M",
    ]
    if gpus and "gres" not in resources.extra:
        options.append(f"--gres=gpu:{gpus}")
    if minutes is not None:
        options.append(f"--time={minutes}")
    return options + [f"--{name}={value}" for name, value in sorted(resources.extra.items())]


def slurm_folder(settings: Settings) -> Path:
    """Folder of the pilots' logs and settings file, on the file system that all nodes share."""
    return settings.runs_dir.resolve() / "slurm"
