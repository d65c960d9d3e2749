"""The list of GPUs, and the GPUs of each slot."""

import sys
from types import SimpleNamespace

import pytest

from worker import devices as module
from worker.devices import gpus_of_slot, list_devices


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


class Driver(SimpleNamespace):
    """Replaces NVIDIA's library, because test machines have no NVIDIA driver."""

    NVMLError = type("NVMLError", (Exception,), {})
    NVML_TEMPERATURE_GPU = 0

    def __init__(self):
        super().__init__(starts=0, is_lost=False)

    def nvmlInit(self):
        self.starts += 1
        self.is_lost = False

    def nvmlDeviceGetCount(self):
        if self.is_lost:
            raise self.NVMLError("driver not loaded")
        return 2

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetMemoryInfo(self, handle):
        return SimpleNamespace(total=80, used=20)

    def nvmlDeviceGetUtilizationRates(self, handle):
        return SimpleNamespace(gpu=50)

    def nvmlDeviceGetName(self, handle):
        return f"card {handle}"

    def nvmlDeviceGetTemperature(self, handle, sensor):
        return 40


@pytest.fixture
def driver(monkeypatch):
    driver = Driver()
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    module._driver.cache_clear()
    yield driver
    module._driver.cache_clear()


def test_the_driver_is_initialized_once_for_all_reports(driver):
    reports = [list_devices() for _ in range(3)]
    assert [device["name"] for device in reports[-1]] == ["card 0", "card 1"]
    assert reports[-1][0]["utilization"] == 0.5
    assert driver.starts == 1


def test_a_lost_driver_is_initialized_again(driver):
    list_devices()
    driver.is_lost = True
    with pytest.raises(driver.NVMLError):
        list_devices()
    assert len(list_devices()) == 2
    assert driver.starts == 2
