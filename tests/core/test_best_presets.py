"""The presets of the recipe: shapes for tensor cores, and the rules of the tracks."""

import pytest

from benchmarks.recipe.conditions import CONDITIONS
from benchmarks.recipe.leaderboard import CHOSEN
from core.spec.estimate import estimate
from core.spec.job import TRACK_MAX_EPOCHS, JobSpec
from core.spec.presets import PRESETS

BEST = [name for name in PRESETS if name.startswith("best-")]


def test_each_architecture_and_size_has_a_best_preset():
    assert set(BEST) == {
        "best-cpu",
        "best-10m",
        "best-100m",
        "best-gemma2-10m",
        "best-llama4-10m",
        "best-olmo2-10m",
    }


@pytest.mark.parametrize("name", BEST)
def test_shapes_suit_tensor_cores(name):
    spec = JobSpec.model_validate({"preset": name}).resolve()
    assert spec.model.head_width in (64, 128)
    assert spec.model.hidden_size % 128 == 0
    assert spec.model.mlp_width % 128 == 0
    assert spec.tokenizer.vocab_size % 128 == 0


@pytest.mark.parametrize("name", BEST)
def test_the_settings_are_those_that_the_study_chose(name):
    """Compares `learning_rate` only for best-cpu, because larger models use a lower value.

    With Muon, it is the rate of the embeddings, the output layer and the vectors.
    """
    spec, chosen = JobSpec.model_validate({"preset": name}), CONDITIONS[CHOSEN]
    assert spec.model.dropout == chosen["model"]["dropout"]
    for field, value in chosen["training"].items():
        if field != "learning_rate" or name == "best-cpu":
            assert getattr(spec.training, field) == value, field


def test_the_one_for_a_cpu_is_as_long_as_the_runs_of_the_study():
    spec = JobSpec.model_validate({"preset": "best-cpu"}).resolve()
    needs = estimate(spec, words=10_000_000)
    assert needs.steps == 1000
    assert needs.seconds["cpu"] < 1200, "at the assumed rate of two CPU cores"


@pytest.mark.parametrize(("name", "track"), [("best-10m", "strict-small"), ("best-100m", "strict")])
def test_a_preset_of_a_track_keeps_its_rules(name, track):
    spec = JobSpec.model_validate({"preset": name})
    assert spec.track == track
    assert spec.training.epochs <= TRACK_MAX_EPOCHS
    assert spec.training.batch_size * spec.training.seq_length >= 65_536


def test_the_track_of_a_preset_can_be_overridden():
    assert JobSpec.model_validate({"preset": "best-10m", "track": "free"}).track == "free"


@pytest.mark.parametrize("name", [name for name in PRESETS if name not in BEST])
def test_other_presets_use_none_of_the_new_fields(name):
    spec = JobSpec.model_validate({"preset": name})
    assert (spec.training.optimizer, spec.training.ema_decay) == ("adamw", None)
    assert spec.model.dropout == 0.0
