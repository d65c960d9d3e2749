"""Response bodies for datasets and uploads."""

from pydantic import Field

from api.schemas import ErrorRead, Out
from core.corpus.report import SourceReport
from core.storage.dataset_origins import DatasetOrigin


class DatasetSummary(Out):
    """A dataset in a list; `words` counts white-space separated words before cleaning."""

    name: str
    sources: list[str]
    bytes: int
    words: int
    is_words_exact: bool
    """False if the number of words is an estimate. Cleaning the dataset gives the exact number."""


class DatasetPage(Out):
    """The datasets, by name."""

    data: list[DatasetSummary]


class PreviewLine(Out):
    """A line of a file; `cleaned` is the line after cleaning, or null if cleaning drops it."""

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
    """The result of cleaning a whole dataset with the default options.

    `status` is `queued`, `running`, `succeeded` or `failed`. `words` and `bytes` are counts after
    cleaning; they are null until cleaning has succeeded.
    """

    status: str
    progress: float
    error: ErrorRead | None
    words: int | None
    bytes: int | None
    sources: dict[str, SourceReport]
    """For each source: lines, words and bytes before and after cleaning, and removals by rule."""


class LeftOutRead(Out):
    """A file of a dataset or an archive that is not used, and the reason."""

    name: str
    reason: str


class DatasetRead(DatasetSummary):
    """A dataset with its files."""

    files: list[DatasetFileRead]
    cleaning: CleaningRead
    left_out: list[LeftOutRead]
    """Entries of the folder that are not used, with the reason."""
    origins: list[DatasetOrigin]
    """Repositories of the Hugging Face Hub that files of the dataset come from."""


class UploadRead(Out):
    """The state of an upload: `received` is the number of received bytes of the file.

    `files` lists the published files; it is empty until the upload is complete.
    """

    dataset: str
    name: str
    received: int
    size: int | None
    files: list[str]
    left_out: list[LeftOutRead] = Field(default_factory=list)
    """Members of an archive that are not used, at most the first 100 of them; absent if all members
    are used."""


class UnfinishedRead(Out):
    """A file with an incomplete upload."""

    name: str
    received: int


class SampleRead(Out):
    """The names of the datasets and evaluation tasks of the sample corpus."""

    datasets: list[str]
    evaluations: list[str]
