"""Collects the predictions of a run in the layout of the official pipeline.

The official scripts write files to `results/NAME/REVISION/...`, and `collate_preds.py` reads them.
`collate_preds.py --fast` writes `results/NAME/all_full_preds_and_fast_scores_causal.json`, the
collated file. It contains the predictions of the final model, and the scores of each milestone on
the fast tasks (the tasks on which each milestone is evaluated). This module writes the same files.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import Any

from core.evaluation.tasks import FOLDER
from core.events.types import CheckpointData
from core.export.submission.fast_scores import FastTask, fast_scores
from core.export.submission.official import (
    AOA,
    FAST,
    FINETUNED,
    FULL,
    OfficialTask,
    find_folder,
    official_sizes,
)
from core.export.submission.plan import SubmissionPlan
from core.spec.plan import milestones
from core.storage.links import link_or_copy
from core.storage.rundir import RunDir

Json = dict[str, Any]
"""A JSON object with values of any type."""
COLLATED = "all_full_preds_and_fast_scores_causal.json"
BACKEND = "causal"


@dataclass
class Collected:
    """The collated file, and the missing predictions."""

    results: Json = field(default_factory=dict)
    missing: list[Json] = field(default_factory=list)
    """The predictions that do not exist, each with kind, checkpoint, task and reason."""
    differences: list[str] = field(default_factory=list)
    """Descriptions of the tasks and subsets that do not have the official number of items."""


def model_stem(repository: str) -> str:
    """The name of a model's folder below `results`, derived as in the official pipeline."""
    return Path(repository).stem


def collect_results(
    folder: Path, *, repository: str, plan: SubmissionPlan, rundir: RunDir, data_dir: Path
) -> Collected:
    """Writes `results` into a folder. Writes the collated file only if nothing is missing.

    Args:
        folder: An existing folder.
        repository: Name of the repository, USER/NAME.
        plan: The plan of the submission.
        rundir: The run.
        data_dir: The data directory; its folder `evaluations` contains the files of the tasks.
    """
    collector = _Collector(folder / "results" / model_stem(repository), rundir, data_dir)
    collector.add_full(plan.final.checkpoint)
    collector.add_aoa(repository, plan)
    collector.add_finetuned(plan.final.checkpoint)
    collector.add_fast([each.checkpoint for each in plan.milestones])
    found = collector.found
    if not found.missing:
        _write(collector.root / COLLATED, found.results)
    return found


class _Collector:
    def __init__(self, root: Path, rundir: RunDir, data_dir: Path) -> None:
        self.root = root
        self.found = Collected()
        self._rundir, self._data_dir = rundir, data_dir

    def add_full(self, checkpoint: CheckpointData) -> None:
        sizes = official_sizes()["full"]
        for task in FULL:
            content = self._take(checkpoint, task, f"main/zero_shot/{BACKEND}/{task.path}")
            if content is not None:
                self.found.results[task.key] = content
                self._compare(f"{task.name} of {checkpoint.name}", content, sizes[task.key])

    def add_fast(self, checkpoints: Sequence[CheckpointData]) -> None:
        scores: dict[str, list[dict[str, float]]] = {task.key: [] for task in FAST}
        parsed: dict[str, FastTask] = {}
        sizes = official_sizes()["fast"]
        for checkpoint in checkpoints:
            revision = f"{checkpoint.name}/zero_shot/{BACKEND}"
            for task in FAST:
                content = self._take(checkpoint, task, f"{revision}/{task.path}")
                if content is None:
                    continue
                self._compare(f"{task.name} of {checkpoint.name}", content, sizes[task.key])
                name = find_folder(self._data_dir, task)
                assert name is not None
                if name not in parsed:
                    parsed[name] = FastTask.read(self._data_dir / FOLDER / name)
                scores[task.key].append(fast_scores(parsed[name], content))
        self.found.results["fast_eval_results"] = scores

    def add_aoa(self, repository: str, plan: SubmissionPlan) -> None:
        words = dict(milestones(plan.spec.track))
        entries: list[Json] = []
        size = official_sizes()["aoa"]
        for each in plan.milestones:
            checkpoint = each.checkpoint
            content = self._take(checkpoint, AOA, None)
            if content is None:
                continue
            where = {"step": checkpoint.name, "word_count": words[checkpoint.name]}
            # For a word without a context, the official pipeline writes NaN.
            entries += [
                where
                | entry
                | {"surprisal": nan if entry["surprisal"] is None else entry["surprisal"]}
                for entry in content["results"]
            ]
            if len(content["results"]) != size:
                self.found.differences.append(
                    f"{AOA.name} of {checkpoint.name} has {len(content['results']):,} items; the "
                    f"official file has {size:,}"
                )
        metadata = {
            "model_name": repository,
            "use_bos_only": False,
            "total_steps": len(words),  # with the milestones that the run has not reached
            "completed_steps": len({entry["step"] for entry in entries}),
        }
        collated = {"metadata": metadata, "results": entries}
        self.found.results["aoa"] = collated
        _write(self.root / f"main/zero_shot/{BACKEND}/{AOA.path}/surprisal.json", collated)

    def add_finetuned(self, checkpoint: CheckpointData) -> None:
        sizes = official_sizes()["full"]
        glue: Json = {}
        for name in FINETUNED:
            path = self._rundir.predictions(checkpoint.name, name)
            if not path.is_file():
                self._miss("finetuning", checkpoint.name, name, "has not been fine-tuned")
                continue
            content = json.loads(path.read_bytes())
            glue |= content
            self._compare(f"{name} of {checkpoint.name}", content, sizes[name])
            _place(path, self.root / f"main/finetune/{name}/predictions.json")
        self.found.results["glue"] = glue

    def _take(
        self, checkpoint: CheckpointData, task: OfficialTask, path: str | None
    ) -> Json | None:
        """The predictions of a checkpoint. Also places their file at `path` below `root`."""
        name = find_folder(self._data_dir, task)
        if name is None:
            names = " or ".join(f"{FOLDER}/{each}" for each in task.folders)
            reason = f"the data directory has no folder {names}; add the official files"
            self._miss("evaluation", checkpoint.name, task.name, reason)
            return None
        source = self._rundir.predictions(checkpoint.name, name)
        if not source.is_file():
            self._miss("evaluation", checkpoint.name, name, "has not been evaluated")
            return None
        content: Json = json.loads(source.read_bytes())
        if path is not None:
            _place(source, self.root / path / "predictions.json")
        return content

    def _miss(self, kind: str, checkpoint: str, task: str, reason: str) -> None:
        self.found.missing.append(
            {"kind": kind, "checkpoint": checkpoint, "task": task, "reason": reason}
        )

    def _compare(self, what: str, content: Json, sizes: int | dict[str, int]) -> None:
        """Records the subsets that do not have the number of items of the official file."""
        for subset, entry in content.items():
            size = sizes if isinstance(sizes, int) else sizes.get(subset.lower())
            count = len(entry["predictions"])
            if count != size:
                official = "does not have it" if size is None else f"has {size:,}"
                self.found.differences.append(
                    f"{what}: {subset} has {count:,} items; the official file {official}"
                )


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    link_or_copy(source, target)


def _write(path: Path, content: Json) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
