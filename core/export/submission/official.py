"""The tasks of the BabyLM challenge and the names of their files in the official pipeline.

Source: babylm/evaluation-pipeline-2025, `eval_zero_shot.sh`, `eval_zero_shot_fast.sh`,
`eval_aoa.sh`, `eval_finetuning.sh` and `collate_preds.py`. No torch, no numpy.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.evaluation.registry import task_files
from core.evaluation.tasks import FOLDER

SIZES = Path(__file__).with_name("official_sizes.json")
"""File with the number of items of each official file; `collate_preds.py` checks these numbers."""


@dataclass(frozen=True)
class OfficialTask:
    """A task of the challenge."""

    key: str
    """Name of the task in the collated file."""
    path: str
    """Folder of the task's predictions, below `zero_shot/causal`."""
    folders: tuple[str, ...]
    """Names of the folders in `evaluations/` that may contain the task's files."""

    @property
    def name(self) -> str:
        """The official name of the task's folder."""
        return self.folders[0]


WUG_ADJ = OfficialTask("wug_adj", "wug_adj/wug_adj_nominalization", ("wug_adj_nominalization",))
WUG_PAST = OfficialTask("wug_past", "wug_past/wug_past_tense", ("wug_past_tense",))
READING = OfficialTask("reading", "reading", ("reading",))
FULL = (
    OfficialTask("blimp", "blimp/blimp_filtered", ("blimp_filtered", "blimp")),
    OfficialTask("blimp_supplement", "blimp/supplement_filtered", ("supplement_filtered",)),
    OfficialTask("ewok", "ewok/ewok_filtered", ("ewok_filtered", "ewok")),
    OfficialTask("entity_tracking", "entity_tracking/entity_tracking", ("entity_tracking",)),
    WUG_ADJ,
    WUG_PAST,
    OfficialTask("comps", "comps/comps", ("comps",)),
    READING,
)
"""Tasks on which the final model is evaluated."""
FAST = (
    OfficialTask("blimp", "blimp/blimp_fast", ("blimp_fast",)),
    OfficialTask("blimp_supplement", "blimp/supplement_fast", ("supplement_fast",)),
    OfficialTask("ewok", "ewok/ewok_fast", ("ewok_fast",)),
    OfficialTask(
        "entity_tracking", "entity_tracking/entity_tracking_fast", ("entity_tracking_fast",)
    ),
    WUG_ADJ,
    WUG_PAST,
    READING,
)
"""Tasks on which each milestone is evaluated."""
AOA = OfficialTask("aoa", "AoA_word", ("cdi_childes", "aoa"))
"""The task with one file for the results of all milestones."""
FINETUNED = ("boolq", "mnli", "mrpc", "multirc", "qqp", "rte", "wsc")
"""Tasks on which the final model is fine-tuned.

In a file of predictions, the name of the task is the key."""


def find_folder(data_dir: Path, task: OfficialTask) -> str | None:
    """The name of the folder in `evaluations` with the files of a task; None if it is missing."""
    folder = data_dir / FOLDER
    return next((name for name in task.folders if task_files(folder / name)), None)


@lru_cache(maxsize=1)
def official_sizes() -> dict[str, Any]:  # any JSON value
    """The official numbers of items, under the keys `full`, `fast` and `aoa`.

    `aoa` is a number. In `full` and `fast`, each task has a number, or an object with a number for
    each subset.
    """
    sizes: dict[str, Any] = json.loads(SIZES.read_text())
    return sizes
