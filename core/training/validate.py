"""The loss on the validation text."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import exp, isfinite, log

import torch
from transformers import PreTrainedModel

from core.dataset.batches import IGNORED, Batch, validation_windows
from core.dataset.tokens import TokenFile
from core.errors import Stopped
from core.spec.training import TrainingSpec
from core.training.distributed.reducer import GradientReducer
from core.training.execution.device import Device
from core.training.loss import token_losses

LARGEST_EXPONENT = 700.0
"""From this loss on, the perplexity is null, because exp overflows float64 above about 709."""
BITS_PER_BYTE = "validation/bits_per_byte"
MAX_NAME_LENGTH = 64
"""Maximum number of characters in the name of a metric, as in the database."""


@dataclass(frozen=True)
class Validation:
    """The result of a validation."""

    loss: float
    """Nats per token."""
    bits_per_byte: float
    by_source: dict[str, float] = field(default_factory=dict)
    """Bits per byte of each source, by the name of its metric; empty if the text has one source."""

    def metrics(self) -> dict[str, float | None]:
        """The values by metric name."""
        known = isfinite(self.loss) and self.loss < LARGEST_EXPONENT
        finite = {name: bits if isfinite(bits) else None for name, bits in self.by_source.items()}
        return finite | {
            "validation/loss": self.loss if isfinite(self.loss) else None,
            "validation/perplexity": exp(self.loss) if known else None,
            BITS_PER_BYTE: self.bits_per_byte if isfinite(self.loss) else None,
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
    """The mean loss over windows of the validation text.

    The windows are at equal distances in the file, and are the same at every call.

    With a `reducer`, the batches are distributed over the ranks (the processes of the run), and all
    ranks must call this function.

    Bits per byte are computed with the file's average number of bytes per token, so that models
    with different vocabularies are comparable (Gao et al. 2020, "The Pile", section 3.1).

    Raises:
        Stopped: After a stop request.
    """
    sums = torch.zeros(2, max(1, len(tokens.meta.sources)), dtype=torch.float64)  # by source
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
                losses = token_losses(
                    model,
                    device.put(batch.inputs),
                    device.put(batch.targets),
                    None if batch.segments is None else device.put(batch.segments),
                )  # (B, T)
            sums += _sums(losses.cpu(), batch, num_sources=sums.shape[1])
    finally:
        model.train()
    if reducer is not None:
        sums = reducer.total(sums)
    losses, counts = (each.tolist() for each in sums)
    mean = sum(losses) / sum(counts)
    return Validation(
        mean,
        _bits_per_byte(mean, tokens.num_tokens, tokens.num_bytes),
        _by_source(tokens, losses, counts),
    )


def source_metric(number: int, source: str) -> str:
    """The name of a source's metric. If it is too long, it is cut and ends with `~<number>`."""
    name = f"{BITS_PER_BYTE}/{source}"
    if len(name) <= MAX_NAME_LENGTH:
        return name
    mark = f"~{number}"
    return name[: MAX_NAME_LENGTH - len(mark)] + mark


def _sums(losses: torch.Tensor, batch: Batch, *, num_sources: int) -> torch.Tensor:
    """The sum of the losses (B, T) and the number of targets of S sources: (2, S) float64."""
    assert batch.sources is not None
    counted = torch.from_numpy(batch.targets != IGNORED).flatten()  # (B T,)
    sources = torch.from_numpy(batch.sources).flatten()[counted]
    if num_sources == 1:
        sources = torch.zeros_like(sources)
    sums = torch.zeros(2, num_sources, dtype=torch.float64)
    sums[0].index_add_(0, sources, losses.flatten()[counted].double())
    sums[1].index_add_(0, sources, torch.ones(len(sources), dtype=torch.float64))
    return sums


def _by_source(tokens: TokenFile, losses: list[float], counts: list[float]) -> dict[str, float]:
    if len(tokens.meta.sources) < 2:
        return {}
    return {
        source_metric(number, name): _bits_per_byte(loss / count, source.tokens, source.bytes)
        for number, ((name, source), loss, count) in enumerate(
            zip(tokens.meta.sources.items(), losses, counts, strict=True)
        )
        if count
    }


def _bits_per_byte(nats_per_token: float, num_tokens: int, num_bytes: int) -> float:
    return nats_per_token * num_tokens / max(1, num_bytes) / log(2.0)
