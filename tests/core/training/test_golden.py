"""Losses and weights of fixed tiny runs are compared with stored values.

Two runs on one machine are equal to the last bit. The stored values may come from another machine
or another release of torch, which rounds sums in another order, so the comparison has a tolerance.
If a change is meant to alter what training computes, write the values again and say so in the
commit:

    BABYLM_WRITE_GOLDEN=1 python -m pytest -n 0 tests/core/training/test_golden.py
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from core.archs import ARCHITECTURES
from core.errors import Stopped

FOLDER = Path(__file__).parent / "golden"
STEPS = 20
STOP_AT = 7
RECIPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "recipe": {
        "optimizer": "muon",
        "ema_decay": 0.9,
        "shuffle": "documents",
        "weight_decay": 0.1,
        "z_loss_coefficient": 1e-3,
        "schedule": "cosine",
    },
}
LOSS_TOLERANCE, WEIGHT_TOLERANCE = 1e-5, 2e-4
"""Relative tolerances. They permit the rounding of micro-batches of another size, which changes
losses by 2e-7 and weights by 5e-7. They detect a missing z-loss, which changes losses by 2e-5 and
weights by 1e-3."""


def measured(run) -> dict[str, Any]:
    """Losses in the order of steps, and the norm and the first value of each weight tensor."""
    weights = {}
    for kind in ("last", "ema"):
        folder = run.rundir.checkpoint(kind)
        if folder.exists():
            for name, tensor in load_file(folder / "model.safetensors").items():
                wide = tensor.double().flatten()
                weights[f"{kind}/{name}"] = [wide.norm().item(), wide[0].item()]
    return {
        "tokens": hashlib.sha256(run.train.ids.tobytes()).hexdigest(),
        "losses": list(run.values("train/loss").values()),
        "validation": list(run.values("validation/loss").values()),
        "weights": weights,
    }


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_losses_and_resumed_weights_are_the_stored_ones(tiny_run, architecture, recipe):
    options = {"max_steps": STEPS, "sample_prompts": [], "seq_length": 64} | RECIPES[recipe]
    alone, resumed = (tiny_run(architecture, name=name, **options) for name in ("a", "b"))
    alone.go()
    with pytest.raises(Stopped):
        resumed.go(stop_at=STOP_AT)
    resumed.go()
    found = measured(resumed)
    assert found == measured(alone), "a resumed run must be equal to the last bit"
    file = FOLDER / f"{architecture}-{recipe}.json"
    if os.environ.get("BABYLM_WRITE_GOLDEN"):
        file.write_text(json.dumps(found, indent=1) + "\n")
    stored = json.loads(file.read_text())
    assert found["tokens"] == stored["tokens"], "tokenizers encodes the text differently"
    assert len(found["losses"]) == STEPS
    for name in ("losses", "validation"):
        assert found[name] == pytest.approx(stored[name], rel=LOSS_TOLERANCE), name
    assert found["weights"].keys() == stored["weights"].keys()
    for name, (norm, first) in stored["weights"].items():
        allowed = WEIGHT_TOLERANCE * norm
        assert found["weights"][name] == pytest.approx([norm, first], abs=allowed), name
