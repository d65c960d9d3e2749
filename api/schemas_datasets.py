"""What is sent about corpora, tokenizers and evaluations."""

from pydantic import Field

from api.schemas import ErrorRead, Out
from core.corpus.report import SourceReport


class DatasetSummary(Out):
    """A dataset in a list; words are white-space words before cleaning."""

    name: str
    sources: list[str]
    bytes: int
    words: int
    is_words_exact: bool
    """False: estimated from the beginning of large files, until they have been cleaned once."""


class DatasetPage(Out):
    """The datasets, by name."""

    data: list[DatasetSummary]


class PreviewLine(Out):
    """A line of a file before and after cleaning; null where it is dropped."""

    raw: str
    cleaned: str | None


class DatasetFileRead(Out):
    """A file of a dataset, with its first lines."""

    name: str
    source: str
    bytes: int
    words: int
    is_words_exact: bool
    preview: list[PreviewLine]


class CleaningRead(Out):
    """What cleaning with the default options makes of a whole dataset.

    `queued`, `running`, `succeeded` or `failed`; totals are after cleaning and null before that.
    """

    status: str
    progress: float
    error: ErrorRead | None
    words: int | None
    bytes: int | None
    sources: dict[str, SourceReport]
    """By source: lines, words and bytes before and after, and by rule what was dropped."""


class LeftOutRead(Out):
    """A file that is there but not used."""

    name: str
    reason: str


class DatasetRead(DatasetSummary):
    """A dataset with its files."""

    files: list[DatasetFileRead]
    cleaning: CleaningRead
    left_out: list[LeftOutRead]
    """Entries of the folder that are not used, with the reason."""


class UploadRead(Out):
    """How much of a file has arrived; `files` names what was published once it is whole."""

    dataset: str
    name: str
    received: int
    size: int | None
    files: list[str]
    left_out: list[LeftOutRead] = Field(default_factory=list)
    """The first members of an archive that are not used; absent if all are."""


class UnfinishedRead(Out):
    """A file that has arrived in part."""

    name: str
    received: int
