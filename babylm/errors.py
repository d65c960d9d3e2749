"""How a command ends when it cannot do what was asked."""

from babylm.client.errors import BabylmError, InvalidUsage

FAILED = 1
BAD_USAGE = 2
INTERRUPTED = 130
"""What a shell reports after Ctrl-C; `babylm follow X && next` must not run `next`."""


class Terminated(SystemExit):
    """SIGTERM or SIGHUP arrived: what the command started is stopped on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


class CommandError(BabylmError):
    """The command failed; the message goes to standard error, the status to the shell."""

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
    """The command line itself is not valid."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, status=BAD_USAGE)
