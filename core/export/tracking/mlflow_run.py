"""Writes an MLflow run to a tracking server or a SQLite file.

A tag with the id of the job identifies the run. MLflow stores two measurements as one if their
metric name, step, timestamp and value are all equal. All four come from the journal, so a
measurement that is sent twice is stored only once.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import mlflow.entities as entities
from mlflow.tracking import MlflowClient

from core.export.tracking.entries import CheckpointReference, Entry, Point, Sample, Status
from core.export.tracking.replay import State
from core.storage.rundir import RunDir

EXPERIMENT = "babylm"
JOB_TAG = "babylm.job"
URI = "MLFLOW_TRACKING_URI"
STATUSES: dict[Status, str] = {"running": "RUNNING", "finished": "FINISHED", "failed": "FAILED"}
MAX_METRICS = 1000
MAX_PARAMS = 100
MAX_PARAM_LENGTH = 6000
"""Maximum characters of a parameter. This limit and the two above are those of `log_batch`."""
OTHER = re.compile(r"[^\w\-. /]", re.ASCII)
"""Matches a character that MLflow does not accept in names."""
Item = TypeVar("Item")


class MlflowRun:
    """A run of MLflow."""

    def __init__(self, rundir: RunDir, state: State) -> None:
        self._rundir = rundir
        self._client = MlflowClient(os.environ[URI])
        self._id = str(state.get("run_id") or "") or self._find_or_create()
        self._client.update_run(self._id, status="RUNNING")

    def write(self, entries: Sequence[Entry]) -> None:
        """Sends values in batches, and samples and references as small files."""
        points = [entry for entry in entries if isinstance(entry, Point)]
        for metrics in _parts([each for point in points for each in _metrics(point)], MAX_METRICS):
            self._client.log_batch(self._id, metrics=metrics)
        for entry in entries:
            match entry:
                case Sample() as sample:
                    text = f"{sample.prompt}\n---\n{sample.text}\n"
                    self._client.log_text(self._id, text, _sample_file(sample))
                case CheckpointReference() as reference:
                    file = f"checkpoints/{reference.name}.json"
                    self._client.log_dict(self._id, _reference(self._rundir, reference), file)

    def flush(self) -> State:
        """Returns the id of the run. `write` has already waited until the values are stored."""
        return {"run_id": self._id}

    def close(self, status: Status) -> None:
        """Sets the status of the run."""
        if status == "running":
            return
        self._client.set_terminated(self._id, status=STATUSES[status])

    def _find_or_create(self) -> str:
        experiment, job = self._experiment(), self._rundir.root.name
        found = self._client.search_runs([experiment], f"tags.`{JOB_TAG}` = '{job}'")
        spec = json.loads(self._rundir.spec.read_bytes())
        if found:
            run_id = str(found[0].info.run_id)
        else:
            name, tags = spec.get("name"), {JOB_TAG: job}
            run_id = str(self._client.create_run(experiment, run_name=name, tags=tags).info.run_id)
        params = [
            entities.Param(_name(key), value[:MAX_PARAM_LENGTH]) for key, value in _flat(spec)
        ]
        for part in _parts(params, MAX_PARAMS):
            self._client.log_batch(run_id, params=part)
        return run_id

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(EXPERIMENT, artifact_location=_artifacts()))


def _artifacts() -> str | None:
    """The folder of artifacts next to a SQLite file; None for the default of a tracking server.

    With a SQLite file, MLflow's default would be a folder in the working directory.
    """
    scheme, _, path = os.environ[URI].partition(":///")
    if scheme != "sqlite":
        return None
    return Path(unquote(path)).resolve().with_suffix(".artifacts").as_uri()


def _metrics(point: Point) -> Iterator[entities.Metric]:
    milliseconds = int(point.time.timestamp() * 1000)
    for name, value in point.values.items():
        yield entities.Metric(_name(name), value, milliseconds, point.step)


def _name(name: str) -> str:
    return OTHER.sub("_", name)


def _sample_file(sample: Sample) -> str:
    start = re.sub(r"\W+", "-", sample.prompt, flags=re.ASCII).strip("-")[:40] or "no-prompt"
    return f"samples/step-{sample.step:06d}-{start}.txt"


def _reference(rundir: RunDir, reference: CheckpointReference) -> dict[str, Any]:  # any JSON value
    return {
        "uri": rundir.checkpoint(reference.name).resolve().as_uri(),
        "kind": reference.kind,
        "step": reference.step,
        "action": reference.action,
        "sha256": reference.files,
    }


def _flat(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:  # any JSON value
    """Fields with dotted names, such as `training.learning_rate`."""
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value) if not isinstance(value, str) else value


def _parts(items: list[Item], size: int) -> Iterator[list[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
