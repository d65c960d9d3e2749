"""The loss on the validation text."""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, isfinite, log

import torch
from transformers import PreTrainedModel

from core.dataset.batches import validation_windows
from core.dataset.tokens import TokenFile
from core.errors import Stopped
from core.spec.training import TrainingSpec
from core.training.distributed.reducer import GradientReducer
from core.training.execution.device import Device
from core.training.loss import summed_loss

LARGEST_EXPONENT = 700.0
"""exp of a larger number overflows float64."""


@dataclass(frozen=True)
class Validation:
    """The result of a validation."""

    loss: float
    """Nats per token."""
    bits_per_byte: float

    def metrics(self) -> dict[str, float | None]:
        """The values by metric name."""
        known = isfinite(self.loss) and self.loss < LARGEST_EXPONENT
        return {
            "validation/loss": self.loss if isfinite(self.loss) else None,
            "validation/perplexity": exp(self.loss) if known else None,
            "validation/bits_per_byte": self.bits_per_byte if isfinite(self.loss) else None,
        }


@torch.no_grad()
def validate(
    model: PreTrainedModel,
    tokens: TokenFile,
    *,
    training: TrainingSpec,
    device: Device,
    micro_batch_size: int,
    should_stop: Callable[[], bool] = lambda: False,
    reducer: GradientReducer | None = None,
) -> Validation:
    """The mean loss over windows that are spread over the file and the same at every call.

    With a `reducer`, the batches are distributed over the ranks, and all ranks must call this.

    Bits per byte use the average number of bytes per token of the file, so that models with
    different vocabularies are comparable (Gao et al. 2020, "The Pile", section 3.1).

    Raises:
        Stopped: After a stop request.
    """
    total, targets = 0.0, 0
    model.eval()
    try:
        windows = validation_windows(
            tokens,
            seq_length=training.seq_length,
            max_tokens=training.eval_tokens,
            batch_size=micro_batch_size,
            packing=training.packing,
        )
        for batch in windows if reducer is None else reducer.part_of(windows):
            if should_stop():
                raise Stopped
            with device.autocast():
                loss = summed_loss(
                    model,
                    device.put(batch.inputs),
                    device.put(batch.targets),
                    None if batch.segments is None else device.put(batch.segments),
                )
            total += loss.item()
            targets += batch.num_targets
    finally:
        model.train()
    if reducer is not None:
        total, targets = reducer.total(total, targets)
    mean = total / targets
    return Validation(mean, mean * tokens.num_tokens / max(1, tokens.num_bytes) / log(2.0))
