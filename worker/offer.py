"""The offer of a worker: its resources for one job, with which it claims a job that fits."""

from jobs.resources import Offer
from worker.devices import Device, gpus_of_slot, num_gpus
from worker.host import host_memory_bytes
from worker.pilot import Pilot


def make_offer(devices: list[Device], slots: int, pilot: Pilot | None) -> Offer:
    """The offer that every slot (a place for one job) can fulfil: that of the smallest slot."""
    host = host_memory_bytes()
    gpus = min(len(gpus_of_slot(devices, slot, slots)) for slot in range(slots))
    memory = min(device["memory_bytes"] for device in devices)
    return Offer(
        where=pilot.where if pilot else "local",
        gpus=gpus,
        memory_bytes=host,
        device_memory_bytes=memory if num_gpus(devices) else host,
        job_id=pilot.job_id if pilot else None,
    )
