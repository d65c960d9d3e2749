"""Prints the matrix-product rate of this machine.

    python -m core.training.execution.rate

The output is one line of JSON such as `{"cpu": 2.5e11}`. The name is the kind of device, `cuda` or
`cpu`. The value is the number of floating-point operations per second in the precision that
`precision: auto` chooses.
"""

import json
import sys

from core.spec.training import TrainingSpec
from core.training.execution.device import choose_device, measured_peak_flops


def measured_rates() -> dict[str, float]:
    """The rate of the device that a run on this machine would use, by its kind."""
    device = choose_device(TrainingSpec())
    return {"cuda" if device.is_cuda else "cpu": measured_peak_flops(device)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measured_rates()) + "\n")
