"""How much of a batch a device takes at once, and how. No torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MicroBatch:
    """What decides how much memory a step takes."""

    micro_batch_size: int
    """Sequences in one forward and backward."""
    gradient_checkpointing: bool

    def smaller(self, batch_size: int) -> "MicroBatch | None":
        """With the next smaller divisor of a device's share of the batch; None below 1."""
        sizes = [size for size in range(1, self.micro_batch_size) if batch_size % size == 0]
        return MicroBatch(sizes[-1], self.gradient_checkpointing) if sizes else None
