"""The errors of the client. Each has a code and a message, and most have a hint."""

USAGE_CODES = frozenset({"file_name_invalid", "input_invalid", "spec_invalid"})
"""Codes with which the service refuses a value that the user gave, such as a spec."""


class BabylmError(Exception):
    """The base of all errors of the client and the command line.

    Attributes:
        code: Stable machine-readable name.
        message: The request and what is wrong with it.
        hint: What to do about it, or None.
        details: Further data as JSON; the problem document if the service sent one.
        status: The exit status if the command line ends with this error.
    """

    code = "failed"
    status = 1

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        code: str | None = None,
        details: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or type(self).code
        self.details = details or {}

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class InvalidUsage(BabylmError):
    """An argument is not valid."""

    code = "invalid_usage"
    status = 2


class ServiceError(BabylmError):
    """The service refused a request; `code` is the code in the problem document of the response.

    Attributes:
        status_code: The HTTP status.
    """

    code = "refused"

    def __init__(
        self,
        status_code: int,
        message: str,
        *,
        hint: str | None = None,
        code: str | None = None,
        details: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message, hint=hint, code=code, details=details)
        self.status_code = status_code
        if self.code in USAGE_CODES:
            self.status = InvalidUsage.status


class ServiceUnreachable(BabylmError):
    """No answer came from the address."""

    code = "unreachable"


class JobFailed(BabylmError):
    """A job ended without success; `code`, `message` and `hint` describe the error of the job.

    Attributes:
        job_id: The job.
        job_status: failed or cancelled.
    """

    code = "job_failed"

    def __init__(
        self,
        message: str,
        *,
        job_id: str,
        job_status: str,
        hint: str | None = None,
        code: str | None = None,
        details: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message, hint=hint, code=code, details=details)
        self.job_id = job_id
        self.job_status = job_status


class TransferFailed(BabylmError):
    """A file cannot be fetched, or arrived with the wrong content."""

    code = "transfer_failed"
