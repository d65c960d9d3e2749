"""Resume points: the complete state that an interrupted run needs to continue bit for bit.

A resume point is a folder `resume/step-000500/` with weights, optimizer state and random states.
The folder is written under a temporary name and then renamed. The last file in it is a manifest
with the sizes and SHA-256 hashes of the other files. All files are safetensors or JSON, so that
reading them cannot execute code.
"""

import json
import logging
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from core.checkpoints.model import load_weights, save_weights
from core.dataset.tokens import TOKENS, TokenFile
from core.errors import CorpusChanged
from core.storage.file_hashes import hash_file
from core.storage.model_files import TOKENIZER_FILE, WEIGHTS_FILE
from core.storage.rundir import RunDir, publish_folder, remove_folder, remove_staging
from core.training.monitoring.health import HealthState
from core.training.optimizers.fused_adamw import load_optimizer_tensors, optimizer_tensors
from core.training.saving.average import WeightAverage

log = logging.getLogger(__name__)

EMBEDDING = "model.embed_tokens.weight"
"""Name of the embedding matrix, which is (V, D) in all architectures."""
DESCRIPTIONS = {
    "tokenizer": "tokenizer",
    "train": "training text",
    "validation": "validation text",
}
KEPT = 2
"""Number of resume points to keep. If the newest one is damaged, the run resumes from the other."""
MANIFEST, STATE, OPTIMIZER, RANDOM = (
    "manifest.json",
    "state.json",
    "optimizer.safetensors",
    "random.safetensors",
)
COMPLETE = (WEIGHTS_FILE, OPTIMIZER, RANDOM, STATE)
"""Files that every resume point has, apart from the manifest."""


class TrainedOn(BaseModel):
    """Hashes of the tokenizer and the texts with which the weights were trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokenizer: str
    """SHA-256 of `tokenizer.json`."""
    train: str
    """SHA-256 of the training tokens."""
    validation: str | None
    """SHA-256 of the validation tokens, which determine the checkpoint `best`."""

    @classmethod
    def of(cls, tokenizer: Path, train: TokenFile, validation: TokenFile | None) -> "TrainedOn":
        """Hashes the files. The hashes of 100 MB take a tenth of a second."""
        return cls(
            tokenizer=hash_file(tokenizer / TOKENIZER_FILE),
            train=hash_file(train.folder / TOKENS),
            validation=None if validation is None else hash_file(validation.folder / TOKENS),
        )


class LoopState(BaseModel):
    """The state of the training loop, without tensors."""

    model_config = ConfigDict(extra="forbid")

    step: int = 0
    validated_step: int = -1
    """Newest step at which the loop validated the weights or wrote samples; -1 if there is none."""
    validation_loss: float | None = None
    """Newest validation loss."""
    validation_loss_step: int = -1
    """Step of the newest validation loss; -1 if there is none."""
    best_validation_loss: float | None = None
    best_step: int = -1
    """Step of the lowest validation loss; -1 if there is none."""
    validations_without_gain: int = 0
    """Number of validations after the one with the lowest loss."""
    ema_validation_loss: float | None = None
    """Newest validation loss of the moving average of the weights."""
    micro_batch_size: int | None = None
    """Number of sequences per pass. If `micro_batch_size` is `auto` in the spec, a resumed run uses
    this number again, so that it sums gradients in the same order."""
    gradient_checkpointing: bool = False
    """Whether activations are recomputed, because of the spec or the choice of `auto`."""
    health: HealthState = Field(default_factory=HealthState)
    loss_scale: float | None = None
    loss_scale_growth: int | None = None
    trained_on: TrainedOn | None = None
    """None in resume points of old versions of this program, which did not record the hashes."""


@dataclass(frozen=True)
class ResumePoint:
    """A complete resume point."""

    folder: Path
    state: LoopState


def save_resume_point(
    rundir: RunDir,
    *,
    state: LoopState,
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None = None,
) -> Path:
    """Publishes a resume point and removes all but the newest `KEPT`.

    Raises:
        OSError, SafetensorError: If the disk is full; older resume points are kept.
    """
    final = rundir.resume_point(state.step)
    final.parent.mkdir(parents=True, exist_ok=True)

    def build(folder: Path) -> None:
        save_weights(model, folder / WEIGHTS_FILE)
        save_file(optimizer_tensors(model, optimizer), folder / OPTIMIZER)
        save_file(_random_states(), folder / RANDOM)
        if average is not None:
            average.save(folder)
        (folder / STATE).write_text(state.model_dump_json())
        write_manifest(folder)

    publish_folder(final, build)
    for old in list(rundir.resume_points().values())[KEPT:]:
        remove_folder(old)
    return final


def newest_resume_point(rundir: RunDir, warn: Callable[[str, str], None]) -> ResumePoint | None:
    """The newest undamaged resume point, or None; removes newer ones, which are damaged.

    A resume point is undamaged if its files match its manifest.
    """
    remove_staging(rundir.resume)
    for folder in rundir.resume_points().values():
        reason = find_damage(folder, COMPLETE)
        if reason is None:
            return read_resume_point(folder)
        warn("checkpoint_damaged", f"{folder.name} is skipped: {reason}")
        remove_folder(folder)
    return None


def require_same_inputs(point: ResumePoint, trained_on: TrainedOn, *, vocab_size: int) -> None:
    """Checks that a resume point was trained with the current tokenizer and texts.

    If the resume point has no hashes of them, only the size of the vocabulary is compared.

    Raises:
        CorpusChanged: If they differ; the message names the difference.
    """
    step, recorded = point.state.step, point.state.trained_on
    if recorded is None:
        with safe_open(point.folder / WEIGHTS_FILE, framework="pt") as weights:
            rows = weights.get_slice(EMBEDDING).get_shape()[0]
        if rows != vocab_size:
            raise CorpusChanged(
                f"the resume point of step {step} has a vocabulary of {rows:,} entries, but the "
                f"tokenizer has {vocab_size:,}"
            )
        return
    different = [name for name, value in recorded if getattr(trained_on, name) != value]
    if different:
        names = ", ".join(DESCRIPTIONS[name] for name in different)
        raise CorpusChanged(
            f"the resume point of step {step} was trained with different data: {names}"
        )


def read_resume_point(folder: Path) -> ResumePoint:
    """The resume point in a folder that is known to be complete."""
    return ResumePoint(folder, LoopState.model_validate_json((folder / STATE).read_bytes()))


def load_resume_point(
    point: ResumePoint, *, model: PreTrainedModel, optimizer: torch.optim.Optimizer
) -> None:
    """Restores weights, optimizer state and random states."""
    load_weights(model, point.folder / WEIGHTS_FILE)
    load_optimizer_tensors(model, optimizer, load_file(point.folder / OPTIMIZER))
    states = load_file(point.folder / RANDOM)
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def write_manifest(folder: Path) -> None:
    """Writes the manifest, which has the sizes and hashes of all other files of a resume point."""
    names = sorted(path.name for path in folder.iterdir())
    entries = {
        name: {"size": (folder / name).stat().st_size, "sha256": hash_file(folder / name)}
        for name in names
    }
    with (folder / MANIFEST).open("w") as file:
        json.dump(entries, file)
        file.flush()
        os.fsync(file.fileno())


def find_damage(folder: Path, names: Collection[str]) -> str | None:
    """A description of the damage of a resume point, or None if it is undamaged.

    It is undamaged if all files match the manifest and the manifest lists all `names`.
    """
    try:
        entries = json.loads((folder / MANIFEST).read_bytes())
        for name, entry in entries.items():
            path = folder / name
            if path.stat().st_size != entry["size"]:
                return f"{name} has {path.stat().st_size} bytes, not {entry['size']}"
            if hash_file(path) != entry["sha256"]:
                return f"the content of {name} has changed"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"its manifest cannot be read ({type(error).__name__}: {error})"
    missing = set(names) - set(entries)
    return f"its manifest lacks {', '.join(sorted(missing))}" if missing else None


def _random_states() -> dict[str, torch.Tensor]:
    states = {"cpu": torch.get_rng_state()}  # uint8
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states
