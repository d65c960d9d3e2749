"""Starts processes that send a run's events to trackers, such as MLflow; training never waits."""

import logging
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from core.events.types import WarningData
from core.export.tracking.adapters import ADAPTERS, missing_package
from core.process.program import python_command
from core.spec.tracking import TRACKERS, TrackerName
from core.storage.rundir import RunDir
from jobs.settings import Settings
from jobs.tables import Json
from worker.child import child_environment

log = logging.getLogger(__name__)

MLFLOW_URI = "MLFLOW_TRACKING_URI"
MLFLOW_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""Settings of MLflow's client, with few retries, because the replay itself tries again."""


@dataclass
class Replays:
    """The replay processes of an attempt."""

    rundir: RunDir
    names: Sequence[TrackerName]
    environment: Mapping[str, str]
    has_ended: bool = False
    """Set once the job has a final status."""
    _followers: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def start(self) -> None:
        """Starts a process for each tracker that can receive events while the run continues."""
        for name in self.names:
            if ADAPTERS[name].is_live:
                self._followers.append(self._open(name, "--follow"))

    def end(self) -> None:
        """Lets the processes send the remaining events and end; does not wait for them.

        If the job has ended, also starts a process for each tracker that needs the whole run.
        """
        for process in self._followers:
            assert process.stdin is not None
            with suppress(OSError):
                process.stdin.close()
        if self.has_ended:
            for name in self.names:
                if not ADAPTERS[name].is_live:
                    self._open(name)

    def _open(self, name: TrackerName, *options: str) -> "subprocess.Popen[bytes]":
        self.rundir.trackers.mkdir(exist_ok=True)
        arguments = (str(self.rundir.root), "--to", name, *options)
        command = python_command("core.export.tracking", *arguments)
        with (self.rundir.trackers / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if options else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(self.environment),
                start_new_session=True,
            )
        # Reaps the process, which may outlive the attempt by minutes.
        threading.Thread(target=process.wait, name=f"reap-{name}", daemon=True).start()
        return process


@contextmanager
def replays(
    rundir: RunDir, spec: Json, settings: Settings, warn: Callable[[WarningData], None]
) -> Iterator[Replays]:
    """Replays the journal of a run into its trackers while the block runs.

    After the block the replay processes send the remaining events and end.

    Args:
        rundir: The run.
        spec: The spec of the job.
        settings: Settings of the worker.
        warn: Called for each tracker that needs a package that is not installed here.
    """
    names = []
    for name in TRACKERS:
        if name not in (*settings.trackers, *spec.get("tracking", ())):
            continue
        missing = missing_package(name)
        if missing is None:
            names.append(name)
        else:
            message = (
                f"the run is not sent to {name}, because {missing}; after the installation, "
                "`babylm track` sends the run"
            )
            warn(WarningData(code="tracker_missing", message=message))
    running = Replays(rundir, names, tracker_environment(settings))
    try:
        running.start()
    except OSError:  # no process or no file can be opened; training continues
        log.exception("%s: a tracker cannot be started", rundir.root.name)
    try:
        yield running
    finally:
        try:
            running.end()
        except OSError:
            log.exception("%s: a tracker cannot be started", rundir.root.name)


def tracker_environment(settings: Settings) -> dict[str, str]:
    """The environment of a replay process: no secrets of the service, and MLflow's address."""
    environment = MLFLOW_PATIENCE | child_environment({})
    uri = settings.mlflow_uri or os.environ.get(MLFLOW_URI) or settings.default_mlflow_uri
    return environment | {MLFLOW_URI: uri}
