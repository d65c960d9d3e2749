"""A settings file that only its owner can read. It passes credentials to Slurm jobs.

Slurm stores the environment of a job and shows it to others (`scontrol show job`, `/proc`), so the
environment must not contain credentials.
"""

import os
import stat
from pathlib import Path

from pydantic import ValidationError

from core.storage.rundir import STAGING_SUFFIX, sync_folder
from jobs.errors import SettingsInvalid
from jobs.settings import Settings

PILOT_SETTINGS = (
    *("data_dir", "runs_dir", "database_url", "redis_url", "lease_seconds", "heartbeat_seconds"),
    *("tick_seconds", "copy_seconds", "poll_seconds", "grace_seconds", "stall_seconds"),
    *("max_attempts", "umask", "tracking", "mlflow_uri"),
)
"""The settings that a pilot, a worker in a Slurm job, needs; they do not include the API key."""


def write_private_settings(path: Path, settings: Settings) -> None:
    """Writes the settings of a pilot atomically, with mode 0600."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f"{path.name}.{os.getpid()}{STAGING_SUFFIX}")
    staging.unlink(missing_ok=True)
    values = {name: getattr(settings, name) for name in PILOT_SETTINGS}
    values |= {name: values[name].resolve() for name in ("data_dir", "runs_dir")}
    lines = [
        f"BABYLM_{name.upper()}={_quoted(str(value))}\n"
        for name, value in values.items()
        if value is not None
    ]
    file = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(file, "w", encoding="utf-8") as output:
        output.writelines(lines)
        output.flush()
        os.fsync(output.fileno())
    staging.replace(path)
    sync_folder(path.parent)


def load_private_settings(path: Path) -> Settings:
    """Reads the settings file; environment variables override its values.

    Raises:
        SettingsInvalid: If the file is missing, others can read it, or its values are invalid.
    """
    try:
        info = path.stat()
    except OSError as error:
        raise SettingsInvalid(f"the settings file {path} cannot be read: {error}") from error
    if info.st_uid != os.getuid() or stat.S_IMODE(info.st_mode) & 0o077:
        raise SettingsInvalid(
            f"the settings file {path} has mode {stat.S_IMODE(info.st_mode):04o} and belongs to "
            f"user {info.st_uid}: it holds credentials, so it must belong to you and have mode 0600"
        )
    try:
        return Settings(_env_file=path)
    except ValidationError as error:
        raise SettingsInvalid(f"the settings file {path} is invalid: {error}") from error


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
