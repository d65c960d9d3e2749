"""Keeps a CPU busy for a part of the time: `python -m benchmarks.busy PERIOD_MS BUSY_MS [THREADS]`.

Each thread computes for BUSY_MS of every PERIOD_MS until the process is ended.
"""

import sys
import threading
import time


def main(period_seconds: float, busy_seconds: float, threads: int) -> None:
    for number in range(1, threads):
        # The interpreter lock lets one thread run at a time, so several threads cause more wake-ups
        # but never occupy more than one CPU.
        delay = period_seconds * number / threads
        threading.Thread(
            target=_work, args=(period_seconds, busy_seconds, delay), daemon=True
        ).start()
    _work(period_seconds, busy_seconds, 0.0)


def _work(period_seconds: float, busy_seconds: float, delay: float) -> None:
    time.sleep(delay)
    while True:
        began = time.perf_counter()
        while time.perf_counter() - began < busy_seconds:
            pass
        time.sleep(max(0.0, period_seconds - busy_seconds))


if __name__ == "__main__":
    milliseconds = [float(value) for value in sys.argv[1:3]]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    main(milliseconds[0] / 1000.0, milliseconds[1] / 1000.0, count)
