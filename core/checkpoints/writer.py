"""Writes downloadable checkpoints, and removes old ones by the retention rules.

A checkpoint appears atomically and never changes. Its name shows its kind. The names are
`step-000500` (rolling), `best-000500`, `chck_7M` (milestone), `last`, `ema` (moving average of the
weights), `error-000123` and `interrupted-000123`. A number with six digits is the step.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel

from core.checkpoints.model import save_config, save_weights
from core.checkpoints.model_card import model_card
from core.events.types import CheckpointData, CheckpointFile, CheckpointKind, EventData
from core.spec.job import JobSpec
from core.storage.file_hashes import hash_file
from core.storage.inputs import read_record
from core.storage.links import link_or_copy
from core.storage.model_files import WEIGHTS_FILE
from core.storage.rundir import RunDir, publish_folder, remove_folder, remove_staging
from core.tokenizer.config import set_max_length

PREFIXES: dict[CheckpointKind, str] = {
    "rolling": "step-",
    "best": "best-",
    "error": "error-",
    "interrupted": "interrupted-",
}

ONCE: tuple[CheckpointKind, ...] = ("last", "ema")
"""Kinds that have at most one checkpoint in a run. The name of this checkpoint is its kind."""


@dataclass(frozen=True)
class Position:
    """The training progress at which a checkpoint was saved."""

    step: int
    tokens_seen: int
    words_seen: int
    validation_loss: float | None


class Checkpoints:
    """Publishes and removes the checkpoints of one run."""

    def __init__(
        self,
        *,
        spec: JobSpec,
        rundir: RunDir,
        tokenizer: Path,
        emit: Callable[[EventData], None],
    ) -> None:
        self._spec = spec
        self._rundir = rundir
        self._tokenizer = tokenizer
        self._emit = emit
        rundir.checkpoints.mkdir(exist_ok=True)
        remove_staging(rundir.checkpoints)

    def save(
        self,
        kind: CheckpointKind,
        *,
        model: PreTrainedModel,
        position: Position,
        name: str | None = None,
        weights: Path | None = None,
    ) -> None:
        """Publishes a checkpoint and emits its event.

        If a checkpoint of that name exists, an earlier attempt published it and was killed before
        it emitted the event. A resumed run reaches the same weights, so this method keeps the
        folder and only emits the event.

        Args:
            kind: Kind of the checkpoint, which decides how long it is kept.
            model: Model that gives the configuration, and the weights if `weights` is None.
            position: Training progress.
            name: Name of a milestone. Other kinds get their name from the kind and the step.
            weights: File with the weights to publish. It is hard-linked, or copied if it is on
                another file system.
        """
        name = name or (kind if kind in ONCE else f"{PREFIXES[kind]}{position.step:06d}")
        folder = self._rundir.checkpoint(name)
        publish_folder(folder, lambda target: self._build(target, model, position, weights))
        self._emit(
            CheckpointData(
                action="saved",
                name=name,
                kind=kind,
                step=position.step,
                tokens_seen=position.tokens_seen,
                words_seen=position.words_seen,
                validation_loss=position.validation_loss,
                files=_files(folder),
            )
        )
        if kind == "best":
            self._keep_newest("best", 1)
        if kind == "rolling":
            self._keep_newest("rolling", self._spec.training.save_total_limit)
        if kind in ("rolling", "last"):
            # The run is now past the step at which it stopped or failed.
            self._keep_newest("interrupted", 0)
            self._keep_newest("error", 0)

    def best_weights(self, step: int) -> Path | None:
        """The weights file of the `best` checkpoint of this step; None if it does not exist."""
        weights = self._rundir.checkpoint(f"{PREFIXES['best']}{step:06d}") / WEIGHTS_FILE
        return weights if weights.is_file() else None

    def _build(
        self, folder: Path, model: PreTrainedModel, position: Position, weights: Path | None
    ) -> None:
        if weights is None:
            save_weights(model, folder / WEIGHTS_FILE)
        else:
            link_or_copy(weights, folder / WEIGHTS_FILE)
        save_config(model, folder, self._spec.model)
        for file in sorted(self._tokenizer.iterdir()):
            if file.name != "report.json":
                shutil.copyfile(file, folder / file.name)
        set_max_length(folder, model.config.max_position_embeddings)
        (folder / "spec.json").write_text(self._spec.model_dump_json(indent=2))
        record = read_record(self._rundir.inputs)
        card = model_card(
            self._spec,
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            step=position.step,
            tokens_seen=position.tokens_seen,
            words_seen=position.words_seen,
            validation_loss=position.validation_loss,
            origins=record.origins.get("train", []) if record is not None else [],
        )
        (folder / "README.md").write_text(card)

    def _keep_newest(self, kind: CheckpointKind, count: int) -> None:
        prefix = PREFIXES[kind]
        found = [
            (int(path.name.removeprefix(prefix)), path)
            for path in self._rundir.checkpoints.iterdir()
            if path.name.startswith(prefix) and path.name.removeprefix(prefix).isdigit()
        ]
        for step, path in sorted(found, reverse=True)[count:]:
            # The event is emitted before the folder is removed. If the process is killed in
            # between, users no longer see the checkpoint, and the next call of this method removes
            # the folder. In the other order, users would see a checkpoint without files.
            self._emit(
                CheckpointData(
                    action="removed",
                    name=path.name,
                    kind=kind,
                    step=step,
                    tokens_seen=0,
                    words_seen=0,
                )
            )
            remove_folder(path)


def _files(folder: Path) -> list[CheckpointFile]:
    return [
        CheckpointFile(path=path.name, size=path.stat().st_size, sha256=hash_file(path))
        for path in sorted(folder.iterdir())
    ]
