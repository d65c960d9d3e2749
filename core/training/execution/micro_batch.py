"""The configuration of micro-batches. The module does not import torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MicroBatch:
    """The settings that determine how much memory a step needs."""

    micro_batch_size: int
    """Number of sequences in one forward and backward pass."""
    gradient_checkpointing: bool

    def smaller(self, batch_size: int) -> "MicroBatch | None":
        """The same configuration with the next smaller size that divides `batch_size`.

        Returns None if the size is already 1.
        """
        sizes = [size for size in range(1, self.micro_batch_size) if batch_size % size == 0]
        return MicroBatch(sizes[-1], self.gradient_checkpointing) if sizes else None
