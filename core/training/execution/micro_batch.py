"""The configuration of micro-batches. The module does not import torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MicroBatch:
    """The settings that determine the memory of a step."""

    micro_batch_size: int
    """Sequences in one forward and backward pass."""
    gradient_checkpointing: bool

    def smaller(self, batch_size: int) -> "MicroBatch | None":
        """The configuration whose size is the next smaller divisor of `batch_size`.

        None if the size is already 1.
        """
        sizes = [size for size in range(1, self.micro_batch_size) if batch_size % size == 0]
        return MicroBatch(sizes[-1], self.gradient_checkpointing) if sizes else None
