"""Start of the `babylm` command: Ctrl-C while it loads or exits ends it without a traceback."""

import os
import signal
import types

INTERRUPTED = 130
"""The same status as in `babylm.errors`, which is not loaded yet."""


def main() -> None:
    """Loads the command line and runs it."""
    before = signal.getsignal(signal.SIGINT)
    is_default = before is signal.default_int_handler  # it is ignored in a background process
    if is_default:
        signal.signal(signal.SIGINT, _end)
    from babylm.main import main as run

    try:
        if is_default:
            signal.signal(signal.SIGINT, before)
        run()
    except KeyboardInterrupt:  # while `run` reports an error or begins
        os._exit(INTERRUPTED)
    finally:
        if is_default:
            signal.signal(signal.SIGINT, _end)


def _end(_number: int, _frame: types.FrameType | None) -> None:
    """Ends the process at once: an exception in an import would print a traceback."""
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
