"""The slots of a worker: the environment of each, and the memory of GPUs that several slots share.

A job starts on a GPU that other jobs use only if the memory of the GPU is sufficient for the
expected peaks of all these jobs together.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from worker.devices import Device, gpus_of_slot, num_gpus


@dataclass(frozen=True)
class Slot:
    """Room for one job."""

    number: int
    environment: Mapping[str, str]
    gpu: int | None
    """Index of the GPU that the slot shares with other slots; None if it shares no GPU."""


class Slots:
    """Assigns slots, first on the GPU with the most free memory, and records claimed memory."""

    def __init__(self, devices: list[Device], count: int, environment: Mapping[str, str]) -> None:
        gpus = num_gpus(devices)
        self._lock = threading.Lock()
        self._free: list[Slot] = []
        self._claims: dict[int, tuple[int, int | None]] = {}
        """GPU and claimed bytes, by number of the slot. None instead of bytes: the whole GPU."""
        self._memory = {int(each["index"]): int(each["memory_bytes"]) for each in devices}
        self.claiming = threading.Lock()
        """Lock held while the worker reads the free memory, claims a job and records its memory."""
        for number in range(count):
            chosen = gpus_of_slot(devices, number, count)
            # On a host with several GPUs, a slot sees only its own.
            visible = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, chosen))} if gpus > 1 else {}
            shared = chosen[0] if gpus and count > gpus else None
            self._free.append(Slot(number, {**environment, **visible}, shared))

    def take(self) -> Slot | None:
        """A free slot, or None. If slots share GPUs, prefers the GPU with the most free memory."""
        with self._lock:
            if not self._free:
                return None
            slot = max(self._free, key=lambda each: (self._room(each.gpu), -each.number))
            self._free.remove(slot)
            return slot

    def give_back(self, slot: Slot) -> None:
        """Frees a slot and the memory that its job has claimed."""
        with self._lock:
            self._claims.pop(slot.number, None)
            self._free.append(slot)

    def free_bytes(self, slot: Slot) -> int | None:
        """Bytes of the slot's GPU that no job has claimed.

        None, which means no limit, if the slot shares no GPU or if no other job uses its GPU.
        """
        with self._lock:
            if slot.gpu is None or not self._claims_of(slot.gpu):
                return None
            return max(0, int(self._room(slot.gpu)))

    def claim(self, slot: Slot, device_bytes: int | None) -> None:
        """Records the memory that the job of a slot will use; None claims the whole GPU."""
        if slot.gpu is not None:
            with self._lock:
                self._claims[slot.number] = (slot.gpu, device_bytes)

    def _claims_of(self, gpu: int) -> list[int | None]:
        return [claimed for other, claimed in self._claims.values() if other == gpu]

    def _room(self, gpu: int | None) -> float:
        if gpu is None:
            return 0.0
        memory = self._memory[gpu]
        return memory - sum(memory if each is None else each for each in self._claims_of(gpu))
