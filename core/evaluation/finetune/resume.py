"""Resume points of fine-tuning. An interrupted task continues from them with identical results.

A resume point is a folder `resume/finetune-TASK-PROGRESS/` with weights, optimizer state and,
written last, a manifest. Batches and dropout are functions of seed and step, so no random state is
saved.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.storage.model_files import WEIGHTS_FILE
from core.storage.rundir import RunDir, publish_folder, remove_folder, remove_staging
from core.training.saving.resume import OPTIMIZER, STATE, find_damage, write_manifest

KEPT = 2
"""Number of resume points that are kept per task. If the newest is damaged, the older is used."""
PREFIX = "finetune-"


class TaskState(BaseModel):
    """The state of one task, except its tensors."""

    model_config = ConfigDict(extra="forbid")

    task: str
    step: int = 0
    """Number of finished steps."""
    loss: float | None = None
    """Mean loss of the last step."""
    validations: int = 0
    """Number of validated epochs."""
    best_epoch: int | None = None
    """The epoch, counted from 1, with the highest score."""
    best_score: float | None = None
    predictions: list[int] = []
    """The predictions of the best epoch, one per validation example."""
    seconds: float = 0.0
    """Computing time in seconds."""
    content: str
    """Hash of the settings, the task files and the weights. A resume point with another hash is
    removed with a warning."""

    @property
    def progress(self) -> int:
        """Number of finished steps plus validations; part of the name of the resume point.

        A validation does not change `step`. It counts here, so that resume points before and after
        a validation have different names, and a resumed run does not repeat the validation.
        """
        return self.step + self.validations


def save(
    rundir: RunDir, state: TaskState, model: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Publishes a resume point and removes those that are no longer needed.

    Raises:
        OSError, SafetensorError: If the disk is full; older resume points are kept.
    """

    def build(folder: Path) -> None:
        save_file(_weights(model), folder / WEIGHTS_FILE)
        save_file(_optimizer_tensors(model, optimizer), folder / OPTIMIZER)
        (folder / STATE).write_text(state.model_dump_json())
        write_manifest(folder)

    publish_folder(rundir.resume / f"{PREFIX}{state.task}-{state.progress:06d}", build)
    for old in _newest_first(rundir, state.task)[KEPT:]:
        remove_folder(old)


def load(
    rundir: RunDir,
    fresh: TaskState,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    warn: Callable[[str, str], None],
) -> TaskState:
    """Restores the newest complete resume point of a task; returns its state, or `fresh`.

    Damaged resume points are removed with a warning.
    """
    remove_staging(rundir.resume)
    for folder in _newest_first(rundir, fresh.task):
        damage = find_damage(folder, (WEIGHTS_FILE, OPTIMIZER, STATE))
        if damage is None:
            state = TaskState.model_validate_json((folder / STATE).read_bytes())
            if state.content == fresh.content:
                model.load_state_dict(load_file(folder / WEIGHTS_FILE), strict=True)
                _load_optimizer(model, optimizer, load_file(folder / OPTIMIZER))
                return state
            damage = "the files of the task or the settings have changed"
        warn("checkpoint_damaged", f"{folder.name} is skipped: {damage}")
        remove_folder(folder)
    return fresh


def forget(rundir: RunDir, task: str) -> None:
    """Removes the resume points of a finished task."""
    for folder in _newest_first(rundir, task):
        remove_folder(folder)


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: tensor.detach().to("cpu").contiguous() for name, tensor in model.state_dict().items()
    }


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}/{key}": value.detach().to("cpu").contiguous()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def _load_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    parameters = dict(model.named_parameters())
    for name, tensor in tensors.items():
        parameter, key = name.rsplit("/", 1)
        found = parameters[parameter]
        # AdamW keeps `step` on the CPU.
        value = tensor if key == "step" else tensor.to(found.device)
        optimizer.state[found][key] = value


def _newest_first(rundir: RunDir, task: str) -> list[Path]:
    if not rundir.resume.is_dir():
        return []
    start = f"{PREFIX}{task}-"
    found = [path for path in rundir.resume.iterdir() if path.name.startswith(start)]
    named = [path for path in found if path.name.removeprefix(start).isdigit()]
    return sorted(named, key=lambda path: path.name, reverse=True)
