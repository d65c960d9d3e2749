"""Publishes predictions in the format of the official pipeline's `predictions.json`.

The file contains `{"SUBSET": {"predictions": [{"id": "SUBSET_0", "pred": "The dogs run."}, ...]},
...}`. An entry of a WUG task also has `prob`, the model's probability of the first text. In an
entry of the reading-time task, `pred` and `prev_pred` are surprisals in nats. The file of the
age-of-acquisition task has another format: `{"results": [...]}`, with a surprisal in each entry.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.storage.rundir import publish_file


def publish_predictions(path: Path, predictions: Mapping[str, Any]) -> None:
    """Writes the JSON file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    publish_file(path, json.dumps(predictions, allow_nan=False).encode())
