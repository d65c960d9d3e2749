"""The speed of this worker's devices in matrix products, measured once and then cached."""

import json
import logging
import subprocess
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from core.storage.rundir import publish_file
from worker.child import child_environment
from worker.devices import Device

log = logging.getLogger(__name__)

Rates = dict[str, float]
"""Floating-point operations per second, by kind of device (`cpu`, `cuda`), of one slot.

A slot is a place for one running job."""
MEASURE_SECONDS = 300.0
VERSION = 1


def rates_file(folder: Path, devices: Sequence[Device], environment: Mapping[str, str]) -> Path:
    """The path of the file with the rates of these devices and thread settings."""
    parts = [[each.get(name) for name in ("kind", "name", "cores")] for each in devices]
    threads = {
        name: value
        for name, value in child_environment(environment).items()
        if name.startswith(("OMP_", "GOMP_", "MKL_"))
    }
    key = sha256(json.dumps([VERSION, parts, sorted(threads.items())]).encode()).hexdigest()
    return folder / f"rates-{key[:16]}.json"


def read_rates(file: Path) -> Rates | None:
    """The rates in a file; None if the file is missing or cannot be parsed."""
    try:
        return _parsed(file.read_text())
    except (OSError, ValueError):
        return None


def measure_rates(
    file: Path, *, command: Sequence[str], environment: Mapping[str, str]
) -> Rates | None:
    """Measures the rates of a slot and writes them to `file`; None if the measurement fails.

    Args:
        file: See `rates_file`.
        command: The program that measures. It is a process of its own, because the worker does not
            load torch.
        environment: Environment variables of the processes of a slot.
    """
    try:
        done = subprocess.run(
            command,
            env=child_environment(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=MEASURE_SECONDS,
            check=True,
        )
        rates = _parsed(done.stdout)
        file.parent.mkdir(parents=True, exist_ok=True)
        publish_file(file, json.dumps(rates).encode())
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        log.warning("the speed of the devices cannot be measured: %s", error)
        return None
    return rates


def with_rates(devices: Sequence[Device], rates: Rates) -> list[Device]:
    """The devices, with `flops_per_second` if the rate of their kind is known."""
    return [
        device | {"flops_per_second": rates[device["kind"]]} if device["kind"] in rates else device
        for device in devices
    ]


def _parsed(text: str) -> Rates:
    rates = json.loads(text)
    if not isinstance(rates, dict):
        raise ValueError(f"expected a JSON object of rates by kind of device, not {text[:100]!r}")
    return {str(kind): float(rate) for kind, rate in rates.items()}
