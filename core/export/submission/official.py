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
"""Items of each official file, which `collate_preds.py` checks."""


@dataclass(frozen=True)
class OfficialTask:
    """A task of the challenge."""

    key: str
    """Its name in the collated file."""
    path: str
    """Folder of its predictions, below `zero_shot/causal`."""
    folders: tuple[str, ...]
    """Names under which `evaluations/` of the data directory may have its files."""

    @property
    def name(self) -> str:
        """The official name of its folder."""
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
"""Of the final model."""
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
"""Of each milestone."""
AOA = OfficialTask("aoa", "AoA_word", ("cdi_childes", "aoa"))
"""Of all milestones together."""
FINETUNED = ("boolq", "mnli", "mrpc", "multirc", "qqp", "rte", "wsc")
"""Of the final model, after fine-tuning; predictions have the name of the task."""


def find_folder(data_dir: Path, task: OfficialTask) -> str | None:
    """The folder below `evaluations` with the files of a task, or None."""
    folder = data_dir / FOLDER
    return next((name for name in task.folders if task_files(folder / name)), None)


@lru_cache(maxsize=1)
def official_sizes() -> dict[str, Any]:  # any JSON value
    """`full`, `fast` and `aoa`: the number of items, or that of each subset, by task."""
    sizes: dict[str, Any] = json.loads(SIZES.read_text())
    return sizes
