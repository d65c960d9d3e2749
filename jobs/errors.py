"""The errors of the service, each with a stable code; independent of HTTP."""


class JobsError(Exception):
    """Base class of the service's errors.

    Attributes:
        code: Stable machine-readable name, part of the public API.
    """

    code = "service_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class JobNotFound(JobsError):
    """No job has that id."""

    code = "job_not_found"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id}")


class InvalidTransition(JobsError):
    """The status of the job does not allow the action.

    Attributes:
        action: The requested action: cancel, pause, resume, retry or delete.
        status: The status of the job.
    """

    code = "move_refused"

    def __init__(
        self, *, action: str, status: str, allowed: str, reason: str | None = None
    ) -> None:
        # A reason is given if the status alone would allow the action.
        super().__init__(
            f"cannot {action} a job that is {status}: {reason or f'it must be {allowed}'}"
        )
        self.action = action
        self.status = status


class JobInUse(JobsError):
    """Another job, which is unfinished, needs the tokenizer or a checkpoint of this job."""

    code = "job_in_use"

    def __init__(self, job_id: str, user_id: str, status: str) -> None:
        super().__init__(
            f"job {user_id} is {status} and needs the tokenizer or a checkpoint of job {job_id}: "
            f"cancel job {user_id} first, or wait until it ends"
        )


class IdempotencyConflict(JobsError):
    """The idempotency key was already used for another request."""

    code = "idempotency_conflict"

    def __init__(self, key: str, used_for: str, *, kind: str = "job") -> None:
        super().__init__(
            f"the idempotency key {key!r} was already used for another request, {kind} "
            f"{used_for}: send a new key"
        )


class StudyNotFound(JobsError):
    """No study has that id."""

    code = "study_not_found"

    def __init__(self, study_id: str) -> None:
        super().__init__(f"there is no study {study_id}")


class StudyRefused(JobsError):
    """The request makes no valid study, or the status of the jobs does not allow the action."""

    code = "study_refused"


class CheckpointNotFound(JobsError):
    """The job has no checkpoint of that name."""

    code = "checkpoint_not_found"

    def __init__(self, job_id: str, name: str, existing: list[str]) -> None:
        known = ", ".join(existing) if existing else "none so far"
        super().__init__(f"job {job_id} has no checkpoint {name!r}; it has: {known}")


class ShortTaskNotFound(JobsError):
    """No short task has that id."""

    code = "short_task_not_found"

    def __init__(self, task_id: str) -> None:
        super().__init__(f"there is no task {task_id}")


class WebhookNotFound(JobsError):
    """No webhook has that id."""

    code = "webhook_not_found"

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"there is no webhook {webhook_id}")


class DeliveryNotFound(JobsError):
    """The webhook has no delivery of that id."""

    code = "delivery_not_found"

    def __init__(self, delivery_id: str) -> None:
        super().__init__(f"the webhook has no delivery {delivery_id}")


class WebhooksFull(JobsError):
    """The maximum number of webhooks already exists."""

    code = "webhooks_full"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"there are already {most} webhooks, the most that the service accepts: "
            "delete one first"
        )


class CursorInvalid(JobsError):
    """The cursor of a page was not made by this service."""

    code = "cursor_invalid"

    def __init__(self, cursor: str) -> None:
        super().__init__(
            f"{cursor!r} is not a cursor of this list: use the value of `next` of a page"
        )


class SchemaTooNew(JobsError):
    """The schema of the database is newer than this version of the program."""

    code = "schema_too_new"


class SchemaTooOld(JobsError):
    """The schema of the database is older than this version of the program."""

    code = "schema_too_old"


class BrokerUnavailable(JobsError):
    """The broker does not answer; nothing is lost, because messages are only notifications."""

    code = "broker_unavailable"


class Fenced(JobsError):
    """The attempt may no longer change the job: a newer one runs it, or the job does not run."""

    code = "fenced"

    def __init__(self, job_id: str, attempt: int) -> None:
        super().__init__(f"attempt {attempt} no longer holds job {job_id}")


class PlacementTaken(JobsError):
    """Slurm started a second Slurm job for an attempt, or one for an attempt that is over."""

    code = "placement_taken"

    def __init__(self, job_id: str, slurm_id: str | None) -> None:
        super().__init__(
            f"Slurm job {slurm_id} ends and does not run job {job_id}: another Slurm job was "
            "submitted for the same attempt of the job, or that attempt is over"
        )


class SlurmError(JobsError):
    """The Slurm configuration is not usable."""

    code = "slurm_error"


class SettingsInvalid(JobsError):
    """A settings file is missing, unsafe or invalid."""

    code = "settings_invalid"


class CopyRefused(JobsError):
    """The source database is in use or the target is not empty."""

    code = "copy_refused"
