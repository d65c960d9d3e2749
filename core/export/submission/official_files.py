"""The files of the official evaluation tasks: their places in the download, and their purposes.

Source: README.md ("Data") and the scripts `eval_*.sh` of babylm/evaluation-pipeline-2025. No torch.
"""

from dataclasses import dataclass
from typing import Literal

from core.export.submission.official import AOA, FAST, FULL, OfficialTask
from core.spec.finetune import FinetuneSpec

DOWNLOAD = "https://osf.io/ryjfm/"
"""Address of the folder `evaluation_data` of the official pipeline."""
EWOK_TERMS = "https://huggingface.co/datasets/ewok-core/ewok-core-1.0"
Purpose = Literal["final_model", "milestones", "finetuning"]
TITLES = {
    "blimp_filtered": "BLiMP",
    "supplement_filtered": "BLiMP supplement",
    "ewok_filtered": "EWoK",
    "entity_tracking": "Entity tracking",
    "wug_adj_nominalization": "Wug test, adjectives",
    "wug_past_tense": "Wug test, past tense",
    "comps": "COMPS",
    "reading": "Reading times",
    "blimp_fast": "BLiMP, fast",
    "supplement_fast": "BLiMP supplement, fast",
    "ewok_fast": "EWoK, fast",
    "entity_tracking_fast": "Entity tracking, fast",
    "cdi_childes": "Age of acquisition",
    "glue_filtered": "(Super)GLUE",
}
NOTES = {
    "ewok_filtered": (
        f"Agree to the terms at {EWOK_TERMS}, then run `python -m evaluation_pipeline.ewok."
        "dl_and_filter` of the official pipeline."
    ),
    "ewok_fast": "A zip with a password, which the README of the official pipeline gives.",
}


@dataclass(frozen=True)
class OfficialFiles:
    """The folder of a task."""

    task: OfficialTask
    title: str
    path: str
    """Path of the folder in the download."""
    purposes: tuple[Purpose, ...]
    """What a submission needs the files for."""
    note: str | None
    """What to do in addition to the download."""


def official_files() -> list[OfficialFiles]:
    """The folders of all official tasks, those for the final model first."""
    glue = OfficialTask("glue", "", (FinetuneSpec.model_fields["folder"].default,))
    tasks: dict[str, OfficialTask] = {}
    purposes: dict[str, list[Purpose]] = {}
    uses: tuple[tuple[Purpose, tuple[OfficialTask, ...]], ...] = (
        ("final_model", FULL),
        ("milestones", (*FAST, AOA)),
        ("finetuning", (glue,)),
    )
    for purpose, needed in uses:
        for task in needed:
            tasks.setdefault(task.name, task)
            purposes.setdefault(task.name, []).append(purpose)
    return [
        OfficialFiles(
            task=task,
            title=TITLES[name],
            path=_path(task),
            purposes=tuple(purposes[name]),
            note=NOTES.get(name),
        )
        for name, task in tasks.items()
    ]


def _path(task: OfficialTask) -> str:
    part = "fast_eval" if task.name.endswith("_fast") else "full_eval"
    return f"evaluation_data/{part}/{task.name}"
