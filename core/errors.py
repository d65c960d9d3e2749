"""The errors a run can end with, each with a stable code, a message and a hint."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How the training child ends; the supervisor decides by this number what happens to the job.

    75 is `EX_TEMPFAIL` and 70 `EX_SOFTWARE` of sysexits.h, 28 is ENOSPC; any other non-zero status
    is a crash.
    """

    FINISHED = 0
    DISK_FULL = 28
    """As FAILED, because no space is left: not even the journal may have been able to say so."""
    FAILED = 70
    """The run failed for a reason that another attempt would meet again; not retried."""
    STOPPED = 75
    """Stopped on request, after a checkpoint at a step boundary."""
    LOCKED = 76
    """Another process holds the run folder; nothing was touched."""
    ABANDONED = 77
    """The supervisor was gone or silent, and no safe point came in time."""


class RunError(Exception):
    """A run cannot go on; the subclass says why.

    Attributes:
        code: Stable machine-readable name, part of the public API.
        hint: What the user can do about it.
    """

    code = "run_failed"
    hint = "See the log of the job."

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        # Names of files may be no UTF-8, which neither JSON nor a database holds.
        message = message.encode("utf-8", "backslashreplace").decode()
        super().__init__(message)
        self.message = message
        self.hint = hint if hint is not None else type(self).hint


class CorpusMissing(RunError):
    """A folder or file of the corpus is not there."""

    code = "corpus_missing"
    hint = "Put the file there, or name another dataset in data.dataset."


class CorpusEmpty(RunError):
    """A corpus, or one of its files, holds no text that is left after cleaning."""

    code = "corpus_empty"
    hint = "Check the file, or leave it out with data.sources."


class CorpusEncoding(RunError):
    """A file of the corpus is not UTF-8."""

    code = "corpus_encoding"
    hint = "Convert the file to UTF-8, for example with iconv."


class CorpusNotText(RunError):
    """A file of the corpus is not text but a pointer to it, a web page or an archive."""

    code = "corpus_not_text"
    hint = "Replace the file by its text, or leave it out with data.sources."


class CleanerMissing(RunError):
    """The cleaning style has no cleaner for a source."""

    code = "cleaner_missing"
    hint = 'Use "clean": true, or leave the source out with data.sources.'


class CorpusTooSmall(RunError):
    """Fewer tokens than one window of training or validation needs."""

    code = "corpus_too_small"
    hint = "Use more text or a smaller training.seq_length."


class CorpusChanged(RunError):
    """The text or the tokenizer is no longer what the run was started with.

    Its checkpoints belong to the old text: trained on another one they would give a model that no
    spec describes.
    """

    code = "corpus_changed"
    hint = "Restore the files and retry, or submit a new job for the text as it is now."


class WordBudgetExceeded(RunError):
    """The corpus has more words than the track allows."""

    code = "word_budget_exceeded"
    hint = 'Use a smaller dataset, or "track": "free".'


class TokenizerMissing(RunError):
    """The tokenizer of the job that `tokenizer.from_job` names is not there."""

    code = "tokenizer_missing"
    hint = "Name a job that still exists and whose tokenizer stage is finished, or leave it out."


class TokenOutOfVocabulary(RunError):
    """A token id lies outside the vocabulary of the model."""

    code = "token_out_of_vocabulary"
    hint = (
        "The token file and the tokenizer do not belong together: delete the folder of the token "
        "file and retry."
    )


class TokenFileDamaged(RunError):
    """A token file is not what its description says."""

    code = "token_file_damaged"
    hint = "Delete the folder of the token file and retry: the text is encoded again."


class NonFiniteLoss(RunError):
    """The loss or the gradient norm became NaN or infinite; the weights were not touched by it."""

    code = "loss_not_finite"
    hint = "Lower training.learning_rate, lengthen training.warmup_steps or use bf16 for fp16."


class OutOfMemory(RunError):
    """The device or the host has no memory left for the step."""

    code = "out_of_memory"
    hint = (
        "Lower training.micro_batch_size (gradients are accumulated, the result is the same), "
        "or set training.gradient_checkpointing."
    )


class DiskFull(RunError):
    """No space left where the run writes; the newest whole checkpoint was kept."""

    code = "disk_full"
    hint = "Free some space and retry the job: it goes on from its newest checkpoint."


class PrecisionUnsupported(RunError):
    """The device cannot compute in the precision that was asked for."""

    code = "precision_unsupported"
    hint = 'Use "precision": "auto".'


class DevicesMissing(RunError):
    """The run sees fewer GPUs than it was told to use."""

    code = "devices_missing"
    hint = (
        "Lower training.num_devices, or give the worker fewer slots (BABYLM_NUM_SLOTS): they share "
        "its GPUs evenly."
    )


class CheckpointMissing(RunError):
    """The named checkpoint is not there, or is damaged."""

    code = "checkpoint_missing"
    hint = "List the checkpoints of the job and name one of them."


class ExportInvalid(RunError):
    """The finished checkpoint is not what was written, or plain transformers cannot load it."""

    code = "export_invalid"
    hint = "Retry the job: the checkpoint is written anew. If it happens again, check the disk."


class EvaluationInvalid(RunError):
    """The task of an evaluation is not there, or a file of it cannot be read."""

    code = "evaluation_invalid"
    hint = (
        "Put the files of a BabyLM task, or JSON lines with sentence_good and sentence_bad, into "
        "evaluations/TASK of the data directory."
    )


class SpecInvalid(RunError):
    """The run folder's spec cannot be read or does not hold together."""

    code = "spec_invalid"
    hint = "Submit the job again with a valid spec."


class Stopped(Exception):
    """Raised at a safe point once a stop was asked for."""


class RankDied(Exception):
    """The process of another device of the run ended; the run can be tried again.

    Attributes:
        code, hint: As of a `RunError`.
    """

    code = "rank_died"
    hint = "The log of the job has what it said last."


class RunLocked(Exception):
    """Another process is at work in the run folder."""
