"""The estimate of a job."""

import pytest

from core.spec.estimate import estimate
from core.spec.job import JobSpec


def device_memory(architecture: str, **training: object) -> int:
    training = {"seq_length": 512, "batch_size": 8, **training}
    spec = JobSpec.model_validate({"model": {"architecture": architecture}, "training": training})
    return estimate(spec.resolve(), words=None).device_memory_bytes


@pytest.mark.parametrize(
    ("architecture", "attention", "masks"),
    [
        ("olmo2", "library", 1),
        ("olmo2", "auto", 1),
        ("olmo2", "blocks", 0),
        ("llama4", "library", 2),
        ("gemma2", "library", 2),
        ("gemma2", "auto", 0),
    ],
)
def test_masks_between_documents_count_where_they_are_written_out(
    architecture: str, attention: str, masks: int
) -> None:
    stream = device_memory(architecture, attention=attention)
    documents = device_memory(architecture, attention=attention, packing="documents")
    assert documents - stream == masks * 4 * 8 * 512**2


HEADS_OF_48 = {"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 48}
"""The shape of gemma2-100m when its memory was measured. The preset now has heads of 256."""


@pytest.mark.parametrize(
    ("preset", "measured"),
    [
        ("gemma2-10m", 2_636_870_656),
        ("llama4-10m", 4_514_755_072),
        ("olmo2-10m", 1_782_820_352),
        ("gemma2-100m", 22_020_377_600),
        ("llama4-100m", 69_181_465_600),
        ("olmo2-100m", 22_900_000_000),
    ],
)
def test_the_estimated_memory_of_the_presets_is_near_the_measured_memory(
    preset: str, measured: int
) -> None:
    """The measured values are `memory_peak_bytes` of `make bench ONLY=train` on an H200; see
    benchmarks/README.md.
    """
    body = {"preset": preset, "model": HEADS_OF_48 if preset == "gemma2-100m" else {}}
    spec = JobSpec.model_validate(body).resolve()
    assert estimate(spec, words=None).device_memory_bytes == pytest.approx(measured, rel=0.15)
