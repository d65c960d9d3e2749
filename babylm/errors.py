"""The errors that end a command."""

from babylm.client.errors import BabylmError, InvalidUsage

FAILED = 1
BAD_USAGE = 2
INTERRUPTED = 130
"""Exit status after Ctrl-C. It is not 0, so `babylm follow X && next` does not run `next`."""


class Terminated(SystemExit):
    """Ends the command after SIGTERM or SIGHUP.

    Because it is an exception, `finally` blocks run and stop what the command started.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


class CommandError(BabylmError):
    """The command failed. `main` prints the message to standard error and exits with the status."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        status: int = FAILED,
        details: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message, hint=hint, details=details)
        self.status = status


class UsageError(CommandError, InvalidUsage):
    """The command line itself, or a file that it names, is not valid."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        details: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message, hint=hint, status=BAD_USAGE, details=details)
