"""Sends a run to a tracker from the command line."""

import os
from dataclasses import dataclass
from pathlib import Path

from babylm.errors import CommandError
from babylm.options import load_service_settings
from core.errors import RunLocked
from core.export.tracking.adapters import ADAPTERS, missing_package
from core.export.tracking.replay import cursor_file, replay
from core.spec.tracking import TrackerName
from core.storage.rundir import RunDir

MLFLOW_URI = "MLFLOW_TRACKING_URI"


@dataclass(frozen=True)
class Sent:
    """The number of events that were sent, and where the tracker shows them."""

    events: int
    at: str
    hint: str


def send(folder: Path, name: TrackerName, *, from_start: bool) -> Sent:
    """Replays the journal of a run folder into a tracker.

    Raises:
        CommandError: If the package of the tracker is missing, or the tracker refuses the events.
    """
    missing = missing_package(name)
    if missing is not None:
        raise CommandError(missing)
    settings = load_service_settings()
    if name == "mlflow":
        given = settings.mlflow_uri or os.environ.get(MLFLOW_URI)
        os.environ[MLFLOW_URI] = given or settings.default_mlflow_uri
    rundir = RunDir(folder)
    if from_start:
        cursor_file(rundir, name).unlink(missing_ok=True)
    try:
        count = replay(rundir, name, ADAPTERS[name])
    except RunLocked as error:
        raise CommandError(str(error)) from error
    except Exception as error:  # from the tracker's library; the cursor file keeps the position
        raise CommandError(
            f"{name} did not accept the events: {type(error).__name__}: {error}",
            hint="The same command continues from here once the tracker answers.",
        ) from error
    at, hint = _place(rundir, name)
    return Sent(count, at, hint)


def _place(rundir: RunDir, name: TrackerName) -> tuple[str, str]:
    if name == "tensorboard":
        return str(rundir.tensorboard), f"tensorboard --logdir {rundir.tensorboard}"
    if name == "wandb":
        runs = rundir.root / "wandb"
        return str(runs), f"wandb sync {runs}/offline-run-*"
    uri = os.environ[MLFLOW_URI].rpartition("@")[2]
    return uri, f"experiment babylm of {uri}"
