"""The matrix-product rate of this worker's devices: measured once for each machine, then cached."""

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
"""Floating point operations per second by kind of device, for one slot."""
MEASURE_SECONDS = 300.0
VERSION = 1


def rates_file(folder: Path, devices: Sequence[Device], environment: Mapping[str, str]) -> Path:
    """Where the rates of these devices and thread settings are kept."""
    parts = [[each.get(name) for name in ("kind", "name", "cores")] for each in devices]
    threads = {
        name: value
        for name, value in child_environment(environment).items()
        if name.startswith(("OMP_", "GOMP_", "MKL_"))
    }
    key = sha256(json.dumps([VERSION, parts, sorted(threads.items())]).encode()).hexdigest()
    return folder / f"rates-{key[:16]}.json"


def read_rates(file: Path) -> Rates | None:
    """The rates that were measured before; None if there are none."""
    try:
        return _parsed(file.read_text())
    except (OSError, ValueError):
        return None


def measure_rates(
    file: Path, *, command: Sequence[str], environment: Mapping[str, str]
) -> Rates | None:
    """What a slot reaches, kept in `file`; None if it cannot be measured.

    Args:
        file: See `rates_file`.
        command: The program that measures, in a process of its own: the worker loads no torch.
        environment: Of the processes of a slot.
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
    """The devices with `flops_per_second` where it is known."""
    return [
        device | {"flops_per_second": rates[device["kind"]]} if device["kind"] in rates else device
        for device in devices
    ]


def _parsed(text: str) -> Rates:
    rates = json.loads(text)
    if not isinstance(rates, dict):
        raise ValueError(f"not rates by kind of device: {text[:100]!r}")
    return {str(kind): float(rate) for kind, rate in rates.items()}
