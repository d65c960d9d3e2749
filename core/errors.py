"""The errors with which a run can end. Each error has a stable code, a message and a hint."""

from collections.abc import Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit statuses of the training process. The supervisor derives the next job status from them.

    75 is `EX_TEMPFAIL` and 70 is `EX_SOFTWARE` in sysexits.h. 28 is the error number ENOSPC. A
    non-zero status that is not listed below means a crash.
    """

    FINISHED = 0
    DISK_FULL = 28
    """Failed because no disk space is left. The error event may be missing from the journal."""
    FAILED = 70
    """Failed for a reason that would make every attempt fail, so the job is not tried again."""
    STOPPED = 75
    """Stopped on request at a safe point. If training had begun, a checkpoint was saved."""
    LOCKED = 76
    """Another process has locked the run folder; this process changed nothing."""
    ABANDONED = 77
    """The supervisor exited or sent no heartbeat, and the run did not reach a safe point before the
    deadline."""


def first_names(names: Sequence[str], *, most: int) -> str:
    """At most `most` names for a sentence, and the number of the others."""
    more = len(names) - most
    text = ", ".join(names[:most])
    return f"{text} and {more:,} more" if more > 0 else text


CRASHED = 1
"""Python's exit status for an uncaught exception. The worker then starts another attempt."""


class RunError(Exception):
    """Base of the errors that end a run.

    Attributes:
        code: Stable machine-readable name, part of the public API.
        hint: A remedy for the user.
    """

    code = "run_failed"
    hint = "See the log of the job."

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        # A file name can be invalid UTF-8, which neither JSON nor a database can store.
        message = message.encode("utf-8", "backslashreplace").decode()
        super().__init__(message)
        self.message = message
        self.hint = hint if hint is not None else type(self).hint

    def replace(self, path: str, name: str) -> None:
        """Replaces a path in the message by the name that the user knows."""
        self.message = self.message.replace(path, name)
        self.args = (self.message,)


class CorpusMissing(RunError):
    """A folder or file of the corpus does not exist."""

    code = "corpus_missing"
    hint = "Add the file, or name another dataset in data.dataset or data.validation."


class CorpusEmpty(RunError):
    """A corpus, or one of its files, contains no text after cleaning."""

    code = "corpus_empty"
    hint = "Check the file, or leave it out with data.sources."


class CleanerMissing(RunError):
    """The chosen style of cleaning has no cleaner for a source of the corpus."""

    code = "cleaner_missing"
    hint = 'Use "clean": true, or leave the source out with data.sources.'


class CorpusEncoding(RunError):
    """A file of the corpus is not UTF-8."""

    code = "corpus_encoding"
    hint = "Convert the file to UTF-8, for example with iconv."


class CorpusNotText(RunError):
    """A corpus file is not text but, for example, a Git LFS pointer, a web page or an archive."""

    code = "corpus_not_text"
    hint = "Replace the file by its text, or leave it out with data.sources."


class CorpusDamaged(RunError):
    """A compressed file, or a file of rows, is damaged or has another format than its name says."""

    code = "corpus_damaged"
    hint = "Create the file again, or leave it out with data.sources."


class CorpusColumnMissing(RunError):
    """A file of rows (such as CSV) has no column of text with the given name."""

    code = "corpus_column_missing"
    hint = "Name the column in data.text_column, or leave the file out with data.sources."


class CorpusTooLarge(RunError):
    """A compressed file, or a file of rows, contains more text than the service reads."""

    code = "corpus_too_large"
    hint = "Split the file, or decompress it before it is added."


class CorpusReaderMissing(RunError):
    """The optional package that is needed to read a file is not installed."""

    code = "corpus_reader_missing"
    hint = "Install babylm-service with the extra that the message names."


class CorpusTooSmall(RunError):
    """The training or validation text has too few tokens for one sequence."""

    code = "corpus_too_small"
    hint = "Use more text or a smaller training.seq_length."


class CorpusChanged(RunError):
    """The text or the tokenizer has changed since the run was started.

    The checkpoints of the run were trained on the old text. Training them further on other text
    would give a model that no spec describes.
    """

    code = "corpus_changed"
    hint = "Restore the files and retry, or submit a new job for the text as it is now."


class WordBudgetExceeded(RunError):
    """The corpus has more words than the track allows."""

    code = "word_budget_exceeded"
    hint = 'Use a smaller dataset, or "track": "free".'


class TokenizerMissing(RunError):
    """The job that `tokenizer.from_job` names has no tokenizer."""

    code = "tokenizer_missing"
    hint = "Name an existing job whose tokenizer stage is finished, or omit tokenizer.from_job."


class InitialWeightsInvalid(RunError):
    """The weights that `init_from` names are missing or belong to another model."""

    code = "initial_weights_invalid"
    hint = (
        "Name a checkpoint that exists, and give the job the same model; GET /v1/jobs/JOB and "
        "config.json show its fields."
    )


class TokenizerInvalid(RunError):
    """The tokenizer that `tokenizer.path` names is missing, or is of a kind that cannot be used."""

    code = "tokenizer_invalid"
    hint = "Name a byte-level BPE like GPT-2's in tokenizer.path, or omit it to train a tokenizer."


class TokenOutOfVocabulary(RunError):
    """A token id is outside the vocabulary of the model."""

    code = "token_out_of_vocabulary"
    hint = (
        "The token file and the tokenizer do not belong together: delete the folder of the token "
        "file and retry."
    )


class TokenFileDamaged(RunError):
    """A token file does not match its metadata."""

    code = "token_file_damaged"
    hint = "Delete the folder of the token file and retry: the text is encoded again."


class NonFiniteLoss(RunError):
    """The loss or the gradient norm became NaN or infinite; the weights were not updated."""

    code = "loss_not_finite"
    hint = "Lower training.learning_rate, raise training.warmup_steps or use bf16 instead of fp16."


class OutOfMemory(RunError):
    """The device or the host has too little memory for a step."""

    code = "out_of_memory"
    hint = (
        "Lower training.micro_batch_size (gradients are accumulated, the result is the same), "
        "or set training.gradient_checkpointing."
    )


class DiskFull(RunError):
    """The disk of the run folder is full; the newest complete checkpoint still exists."""

    code = "disk_full"
    hint = "Free some space and retry the job: it continues from its newest checkpoint."


class PrecisionUnsupported(RunError):
    """The device does not support the requested precision."""

    code = "precision_unsupported"
    hint = 'Use "precision": "auto".'


class DevicesMissing(RunError):
    """Fewer GPUs are visible to the run than its spec requests."""

    code = "devices_missing"
    hint = (
        "Lower training.num_devices, or give the worker fewer slots (BABYLM_NUM_SLOTS): its GPUs "
        "are divided evenly among its slots."
    )


class CheckpointMissing(RunError):
    """The named checkpoint does not exist or is damaged."""

    code = "checkpoint_missing"
    hint = "List the checkpoints of the job and name one of them."


class ExportInvalid(RunError):
    """A file of the last checkpoint has changed, or transformers cannot load the checkpoint."""

    code = "export_invalid"
    hint = "Retry the job: the checkpoint is written again. If the error recurs, check the disk."


class EvaluationInvalid(RunError):
    """The task of an evaluation does not exist, or one of its files cannot be read."""

    code = "evaluation_invalid"
    hint = (
        "Put the files of a BabyLM task, or JSON lines with sentence_good and sentence_bad, into "
        "evaluations/TASK of the data directory."
    )


class SubmissionInvalid(RunError):
    """A job cannot be submitted to the challenge: its checkpoints are missing or damaged."""

    code = "submission_invalid"
    hint = "Repair or retrain the job, then ask for the submission again."


class SpecInvalid(RunError):
    """The spec of a run cannot be read or is invalid."""

    code = "spec_invalid"
    hint = "Submit the job again with a valid spec."


class Stopped(Exception):
    """The run was requested to stop and has reached a safe point."""


class RankDied(Exception):
    """Another process of a run on several devices ended unexpectedly; the run can be retried.

    Attributes:
        code, hint: See `RunError`.
    """

    code = "rank_died"
    hint = "The log of the job contains the last output of that process."


class RunLocked(Exception):
    """Another process has locked the run folder."""
