"""Refuses a submitted job that no machine can run, so that it never waits for a worker."""

from core.errors import SpecInvalid
from core.spec.estimate import FLOAT32_BYTES, state_bytes
from core.spec.job import JobSpec

LARGEST_BYTES = {"cuda": 1 << 39, "cpu": 1 << 42}
"""Maximum number of bytes for weights and optimizer in one process, by kind of device. For a GPU,
it is about twice the memory of the largest GPU. For a CPU, it is 4 TiB. More GPUs do not help,
because each GPU holds the whole model."""


def require_possible(spec: JobSpec) -> None:
    """Refuses a resolved spec that no machine can train.

    Raises:
        SpecInvalid: If no machine can train it. The error names the field, its value and what is
            possible.
    """
    if spec.task == "tokenizer":
        return
    training, vocab_size = spec.training, spec.tokenizer.vocab_size
    if training.device == "cpu" and training.precision == "fp16":
        raise SpecInvalid(
            "training.precision is fp16 and training.device is cpu: a CPU trains in fp32 or bf16; "
            "change one of them"
        )
    parameters = spec.model.num_parameters(vocab_size=vocab_size)
    needed = parameters * FLOAT32_BYTES + state_bytes(spec, vocab_size=vocab_size)
    largest = LARGEST_BYTES["cuda" if training.device == "cuda" else "cpu"]
    if needed > largest:
        raise SpecInvalid(
            f"model has {parameters:,} parameters: weights and optimizer need {needed:,} bytes, "
            f"and no machine has more than {largest:,} for a run; lower model.hidden_size, "
            "model.num_hidden_layers or tokenizer.vocab_size"
        )
