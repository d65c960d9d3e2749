"""What a job will need, by arithmetic."""

import pytest

from core.estimate import estimate
from core.spec import JobSpec


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
