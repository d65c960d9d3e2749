"""The datasets of the API: folders below the data directory, and their word counts and reports."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from sqlmodel import Session

from api.errors import Problem
from api.received_files import one_at_a_time
from core.corpus.formats.head import require_readable
from core.corpus.report import CleanReport
from core.corpus.sources import SourceFile, find_source_files, row_options
from core.corpus.stage import CLEAN_VERSION, count_words
from core.corpus.word_estimate import scaled_words
from core.errors import CorpusMissing, EvaluationInvalid, RunError
from core.evaluation.tasks import require_tasks
from core.spec.job import NAME, JobSpec
from core.storage.dataset_origins import forget_files
from jobs.database import Database
from jobs.history import finished_stage
from jobs.short_tasks import create_short_task, forget_dataset, short_task_of_dataset
from jobs.states import FINAL
from jobs.store import unfinished_jobs
from jobs.tables import Job, ShortTask

COUNT_BYTES = 4 << 20
"""Maximum size in bytes of a file in which all words are counted. To keep the response fast, the
number of words of a larger file is an estimate until cleaning has counted the words."""
SAMPLE_BYTES = 256 << 10
READS = 10
"""Maximum number of times that a dataset is read while other requests remove its files."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Words:
    """A number of words, separated by white space, before cleaning."""

    count: int
    is_exact: bool


def retry_if_removed(read: Callable[[], Result]) -> Result:
    """The result of `read`, repeated if a file is removed between the listing and its reading.

    Raises:
        CorpusMissing: If another request removed the whole dataset.
    """
    for _ in range(READS - 1):
        try:
            return read()
        except FileNotFoundError:  # a request of another client removed it
            continue
    return read()


def dataset_names(data_dir: Path) -> list[str]:
    """The names of all folders that contain text, in alphabetical order."""
    if not data_dir.is_dir():
        return []
    return sorted(
        path.name
        for path in data_dir.iterdir()
        if path.is_dir() and NAME.match(path.name) and _has_text(path)
    )


def dataset_files(data_dir: Path, name: str) -> list[SourceFile]:
    """The files of a dataset.

    Raises:
        CorpusMissing: If there is no such dataset.
    """
    if NAME.match(name):
        with suppress(CorpusMissing):
            return retry_if_removed(lambda: find_source_files(data_dir / name))
    raise CorpusMissing(f"there is no dataset {name!r}")


def file_words(file: SourceFile) -> Words:
    """The number of words of a file, counted again only if the file changes."""
    return _count(file, file.path.stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def _count(file: SourceFile, changed_at: int) -> Words:
    del changed_at
    if not file.format.is_plain:
        try:
            words = scaled_words(file, lambda text: len(text.split()))
        except RunError:  # the report of the dataset says why
            return Words(0, is_exact=False)
        return Words(words.count, words.is_exact)
    path, size = file.path, file.bytes
    if size <= COUNT_BYTES:
        return Words(count_words(path), is_exact=True)
    with path.open("rb") as raw:
        sample = raw.read(SAMPLE_BYTES)
    share = len(sample.decode("utf-8", errors="replace").split()) / len(sample)
    return Words(round(share * size), is_exact=False)


def corpus_words(files: Sequence[SourceFile], report: CleanReport | None) -> Words:
    """The number of words of several files, exact if the cleaning report exists."""
    if report is not None and all(file.stem in report.sources for file in files):
        return Words(sum(report.sources[file.stem].words_in for file in files), is_exact=True)
    found = [file_words(file) for file in files]
    return Words(sum(each.count for each in found), all(each.is_exact for each in found))


def dataset_version(files: Sequence[SourceFile]) -> str:
    """A hash that changes whenever a file of the dataset or the code of the cleaning changes."""
    state = [(file.name, file.bytes, file.path.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr((CLEAN_VERSION, state)).encode()).hexdigest()[:32]


def clean_report(task: ShortTask | None, files: Sequence[SourceFile]) -> CleanReport | None:
    """The cleaning report of the short worker for these files; None if it does not exist yet."""
    if task is None or task.result is None or task.request["version"] != dataset_version(files):
        return None
    return CleanReport.model_validate(task.result["report"])


def ask_for_report(database: Database, name: str, files: Sequence[SourceFile]) -> ShortTask:
    """The task that cleans the dataset in its current state; a new task if the dataset changed."""
    version = dataset_version(files)
    with database.read() as session:
        task = short_task_of_dataset(session, name)
    if task is not None and task.request["version"] == version:
        return task
    with database.write() as session:
        task = short_task_of_dataset(session, name)  # another request may have created it
        if task is not None and task.request["version"] == version:
            return task
        forget_dataset(session, name)
        request = {"version": version}
        return create_short_task(session, kind="clean_report", dataset=name, request=request)


def remove_dataset(session: Session, data_dir: Path, name: str) -> Path:
    """Hides a dataset by renaming its folder; returns the path to delete after the commit.

    Raises:
        CorpusMissing: If there is no such dataset.
        Problem: 409 if a job that has not ended needs the dataset.
    """
    dataset_files(data_dir, name)
    refuse_in_use(session, name)
    forget_dataset(session, name)
    folder = data_dir / name
    if folder.is_symlink():  # a link that a user made: the service does not delete its target
        folder.unlink()
        return folder
    doomed = data_dir / f".{uuid4().hex}.removed"
    folder.rename(doomed)
    return doomed


def remove_file(session: Session, data_dir: Path, name: str, file: str) -> None:
    """Removes one file of a dataset.

    Raises:
        CorpusMissing: If there is no such dataset or file.
        Problem: 409 if a job that has not ended needs the dataset.
    """
    found = next((each for each in dataset_files(data_dir, name) if each.name == file), None)
    if found is None:
        raise CorpusMissing(f"dataset {name} has no file {file!r}")
    refuse_in_use(session, name)
    found.path.unlink()
    with one_at_a_time(data_dir):
        forget_files(data_dir / name, [found.path.name])
    if not any((data_dir / name).iterdir()):
        shutil.rmtree(data_dir / name)


def refuse_in_use(session: Session, name: str) -> None:
    """Refuses to change a dataset that a job reads or will read.

    Raises:
        Problem: 409.
    """
    for job in unfinished_jobs(session):
        data = job.spec["data"]
        if job.spec.get("task") != "finetune" and name in (data["dataset"], data["validation"]):
            detail = (
                f"job {job.id} is {job.status} and needs {name}: cancel the job, or wait until it "
                "ends"
            )
            raise Problem(409, "dataset_in_use", detail)


def check_corpus(spec: JobSpec, data_dir: Path) -> None:
    """Refuses a spec if its text does not exist or is not readable; the error names the field.

    Raises:
        Problem: 422.
    """
    faults: list[tuple[str, str, object]] = []
    for field, name in (("dataset", spec.data.dataset), ("validation", spec.data.validation)):
        if name is None:
            continue
        try:
            files = dataset_files(data_dir, name)
        except CorpusMissing:
            known = ", ".join(dataset_names(data_dir)) or "none so far"
            message = (
                f"there is no dataset {name}; existing datasets: {known}. Add it with `babylm "
                f"datasets add {name} PATH`, or put its text files into the folder {name} of the "
                "data directory"
            )
            faults.append((f"data.{field}", message, name))
            continue
        faults += _faults_of_content(f"data.{field}", files, spec)
        stems = [file.stem for file in files]
        missing = [stem for stem in spec.data.sources or () if stem not in stems]
        if missing:
            message = f"{name} has no source {', '.join(missing)}; it has: {', '.join(stems)}"
            faults.append(("data.sources", message, spec.data.sources))
    if faults:
        detail = "; ".join(f"{field}: {message}" for field, message, _ in faults)
        raise Problem(422, "corpus_unknown", detail, fields=faults)


def _faults_of_content(
    field: str, files: Sequence[SourceFile], spec: JobSpec
) -> list[tuple[str, str, object]]:
    """Errors for files of the spec that are not text or lack the text column."""
    faults: list[tuple[str, str, object]] = []
    for file in files:
        if spec.data.sources is None or file.stem in spec.data.sources:
            try:
                require_readable(replace(file, rows=row_options(spec.data)))
            except RunError as error:
                message = error.message.replace(f"{file.path.parent}/", "")
                faults.append((field, f"{message}. {error.hint}", file.path.parent.name))
    return faults


def check_tasks(spec: JobSpec, data_dir: Path) -> None:
    """Refuses a spec with an evaluation task that does not exist; the error names the field.

    Raises:
        Problem: 422.
    """
    try:
        require_tasks(data_dir, spec.evaluation.tasks)
    except EvaluationInvalid as error:
        faults = [("evaluation.tasks", error.message, spec.evaluation.tasks)]
        detail = f"evaluation.tasks: {error.message}"
        raise Problem(422, "task_unknown", detail, fields=faults) from error


def check_tokenizer(session: Session, spec: JobSpec) -> None:
    """Refuses a spec that takes its tokenizer from a job that will never have one.

    Raises:
        Problem: 422.
    """
    job_id = spec.tokenizer.from_job
    if job_id is None:
        return
    job = session.get(Job, job_id)
    if job is None:
        message = f"there is no job {job_id!r}"
    elif job.status in FINAL and finished_stage(session, job_id, "tokenizer") is None:
        message = f"job {job_id} is {job.status} and has no tokenizer"
    else:
        return
    faults = [("tokenizer.from_job", message, job_id)]
    raise Problem(422, "tokenizer_unknown", f"tokenizer.from_job: {message}", fields=faults)


def _has_text(folder: Path) -> bool:
    try:
        return bool(retry_if_removed(lambda: find_source_files(folder)))
    except CorpusMissing:
        return False
