"""Replays the journal of a run into a tracker; the worker starts this program.

    python -m core.export.tracking FOLDER --to tensorboard

With `--follow`, the program replays new events until standard input is closed. It then replays the
remaining events and ends.
"""

import argparse
import logging
import os
import select
import sys
import time
from pathlib import Path

from core.export.tracking.adapters import ADAPTERS
from core.export.tracking.replay import is_complete, replay
from core.spec.tracking import TRACKERS
from core.storage.rundir import RunDir

log = logging.getLogger("core.export.tracking")

POLL_SECONDS = 2.0
FIRST_DELAY_SECONDS = 2.0
LAST_DELAY_SECONDS = 60.0
FINISH_SECONDS = 600.0
"""Seconds after the end of the run during which a failed replay is repeated."""
NICENESS = 10


def main() -> int:
    """Returns 0 if the tracker has every event of the journal, and 1 if it does not."""
    parser = argparse.ArgumentParser(prog="python -m core.export.tracking")
    parser.add_argument("folder", type=Path, help="run folder")
    parser.add_argument("--to", choices=TRACKERS, required=True, help="tracker")
    parser.add_argument("--follow", action="store_true", help="replay until stdin is closed")
    options = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout
    )
    os.nice(NICENESS)  # training on the same cores comes first
    rundir = RunDir(options.folder.resolve())
    return _run(rundir, options.to, is_over=not options.follow)


class Pause:
    """The time between two replays. It doubles with each failure in a row."""

    def __init__(self) -> None:
        self._delay = FIRST_DELAY_SECONDS

    def after(self, *, failed: bool, is_over: bool) -> float:
        """Seconds to wait after a replay. `is_over`: whether the run has ended."""
        if failed:
            wait, self._delay = self._delay, min(2 * self._delay, LAST_DELAY_SECONDS)
            return wait
        self._delay = FIRST_DELAY_SECONDS
        return 0.0 if is_over else POLL_SECONDS


def _run(rundir: RunDir, name: str, *, is_over: bool) -> int:
    adapter = ADAPTERS[name]  # type: ignore[index]
    pause, over_at = Pause(), time.monotonic()
    while True:
        failed = False
        try:
            count = replay(rundir, name, adapter)
            if count:
                log.debug("%d events sent to %s", count, name)
            if is_over and is_complete(rundir, name):
                log.info("%s has all events of the journal", name)
                return 0
        except Exception as error:  # a library may raise any exception
            log.warning("%s: %s: %s", name, type(error).__name__, error)
            if is_over and time.monotonic() - over_at > FINISH_SECONDS:
                log.error("%s does not have all events; `babylm track` sends the rest", name)
                return 1
            failed = True
        wait = pause.after(failed=failed, is_over=is_over)
        if is_over:
            time.sleep(wait)
        elif _closed_within(wait):
            is_over, over_at = True, time.monotonic()


def _closed_within(seconds: float) -> bool:
    """Waits up to `seconds` for standard input; True if it is closed."""
    readable, _, _ = select.select([0], [], [], seconds)
    return bool(readable) and not os.read(0, 4096)


if __name__ == "__main__":
    sys.exit(main())
