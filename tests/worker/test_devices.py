"""Which GPUs the jobs of a slot may use."""

import pytest

from worker.devices import gpus_of_slot


def gpus(count: int) -> list:
    return [{"index": index, "kind": "cuda"} for index in range(count)]


@pytest.mark.parametrize(
    ("count", "slots", "shares"),
    [
        (0, 1, [[]]),
        (4, 4, [[0], [1], [2], [3]]),
        (4, 2, [[0, 1], [2, 3]]),
        (4, 1, [[0, 1, 2, 3]]),
        (3, 2, [[0], [1, 2]]),
        (2, 3, [[0], [1], [0]]),
    ],
)
def test_slots_share_the_gpus_evenly(count, slots, shares):
    devices = gpus(count) or [{"index": 0, "kind": "cpu"}]
    assert [gpus_of_slot(devices, slot, slots) for slot in range(slots)] == shares
