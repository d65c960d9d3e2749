"""Predictions item by item, in the form of the official pipeline's `predictions.json`.

`{"SUBSET": {"predictions": [{"id": "SUBSET_0", "pred": "The dogs run."}, ...]}, ...}`; an entry of
a WUG task also has `prob`, one of reading times has `pred` and `prev_pred`, surprisals in nats.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.storage.rundir import publish_file


def publish_predictions(path: Path, predictions: Mapping[str, Any]) -> None:
    """Writes the file, which appears whole (Any: JSON)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    publish_file(path, json.dumps(predictions, allow_nan=False).encode())
