"""Weights & Biases: writes an offline run to the run folder, for `wandb sync`. Uses no network.

W&B cannot continue an offline run. Each replay therefore removes the previous run and writes a new
one from the whole journal. The id of the run is the id of the job.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import wandb

from core.export.tracking.entries import CheckpointReference, Entry, Point, Sample, Status
from core.export.tracking.replay import State
from core.storage.rundir import RunDir

PROJECT = "babylm"
STEP = "step"
FOLDER = "wandb"
"""Name of the folder that W&B creates in the run folder."""


class WandbRun:
    """An offline run, open for writing."""

    def __init__(self, rundir: RunDir, state: State) -> None:
        del state
        shutil.rmtree(rundir.root / FOLDER, ignore_errors=True)
        spec = json.loads(rundir.spec.read_bytes())
        self._rundir = rundir
        self._samples: list[tuple[int, str, str]] = []
        self._checkpoints: dict[str, CheckpointReference] = {}
        self._run = wandb.init(
            project=PROJECT,
            id=rundir.root.name,
            name=spec.get("name"),
            config=spec,
            mode="offline",
            dir=str(rundir.root),
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                save_code=False,
                x_disable_stats=True,
                x_disable_meta=True,
            ),
        )
        # W&B's own step counter accepts only ascending steps.
        self._run.define_metric("*", step_metric=STEP)

    def write(self, entries: Sequence[Entry]) -> None:
        """Adds the values; `close` adds the samples and the checkpoints."""
        for entry in entries:
            match entry:
                case Point(time=time, step=step, values=values):
                    self._run.log({**values, STEP: step, "_timestamp": time.timestamp()})
                case Sample(step=step, prompt=prompt, text=text):
                    self._samples.append((step, prompt, text))
                case CheckpointReference(name=name, action="saved") as saved:
                    self._checkpoints[name] = saved
                case CheckpointReference(name=name):
                    self._checkpoints.pop(name, None)

    def flush(self) -> State:
        """Does nothing, because only `close` completes the run."""
        return {}

    def close(self, status: Status) -> None:
        """Adds samples and checkpoints and ends the run."""
        columns = [STEP, "prompt", "text"]
        rows: list[list[Any]] = [list(row) for row in self._samples]  # Any: as in wandb.Table
        if rows:
            self._run.log({"samples": wandb.Table(columns=columns, data=rows)})
        self._run.summary["checkpoints"] = {
            saved.name: {
                "uri": _folder(self._rundir, saved.name).as_uri(),
                "kind": saved.kind,
                "step": saved.step,
                "sha256": saved.files,
            }
            for saved in self._checkpoints.values()
        }
        self._run.summary["status"] = status
        self._run.finish(exit_code=1 if status == "failed" else 0)


def _folder(rundir: RunDir, name: str) -> Path:
    return rundir.checkpoint(name).resolve()
