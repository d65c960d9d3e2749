"""How a command ends when it cannot do what was asked."""

FAILED = 1
BAD_USAGE = 2
INTERRUPTED = 130
"""What a shell reports after Ctrl-C; `babylm follow X && next` must not go on."""


class Terminated(SystemExit):
    """SIGTERM or SIGHUP arrived: what the command started is stopped on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


class CommandError(Exception):
    """The command failed; the message goes to standard error, the status to the shell.

    Attributes:
        hint: What the user can do about it.
        status: The exit status.
        details: The same for a program, printed where `--json` was given.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        status: int = FAILED,
        details: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.status = status
        self.details = details or {}


class UsageError(CommandError):
    """The command line itself makes no sense."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, status=BAD_USAGE)
