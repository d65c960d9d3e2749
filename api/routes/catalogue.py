"""What can be trained and on what: architectures, presets, datasets; and who trains: workers."""

from typing import Annotated, Any

from fastapi import APIRouter, Path

from api.corpus import dataset_files, dataset_names, file_words
from api.deps import InContext, Reading
from api.schemas import Json, read_worker
from core.archs import ARCHITECTURES
from core.corpus.options import CleanOptions
from core.corpus.stage import preview
from core.presets import PRESETS
from core.spec import JobSpec
from jobs.workers import live_workers

router = APIRouter(tags=["catalogue"])

PREVIEW_LINES = 12

DatasetName = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


@router.get("/architectures")
def architectures() -> dict[str, list[Json]]:
    """The architectures, each with the JSON schema of its fields."""
    return {
        "data": [
            {
                "name": name,
                "title": kind.title,
                "source": kind.source,
                "schema": kind.model_json_schema(),
            }
            for name, kind in ARCHITECTURES.items()
        ]
    }


@router.get("/presets")
def presets() -> dict[str, list[Json]]:
    """The presets, each with the whole spec that it stands for and its parameter count."""
    data: list[Json] = []
    for name, preset in PRESETS.items():
        spec = JobSpec.model_validate({"preset": name}).resolve()
        count = spec.model.num_parameters(vocab_size=spec.tokenizer.vocab_size)
        data.append(
            {
                "name": name,
                "description": preset.description,
                "parameter_count": count,
                "spec": spec.model_dump(mode="json"),
            }
        )
    return {"data": data}


@router.get("/datasets")
def datasets(context: InContext) -> dict[str, list[Json]]:
    """The datasets: folders of text below the data directory."""
    folder = context.settings.data_dir
    return {"data": [_summary(context, name) for name in dataset_names(folder)]}


@router.get("/datasets/{name}")
def dataset(name: DatasetName, context: InContext) -> Json:
    """One dataset: words a file, and its first lines before and after cleaning."""
    files = dataset_files(context.settings.data_dir, name)
    options = CleanOptions()
    return _summary(context, name) | {
        "files": [
            {
                "name": file.path.name,
                "source": file.source,
                "bytes": file.bytes,
                "words": file_words(file),
                "preview": [
                    {"raw": raw, "cleaned": cleaned}
                    for raw, cleaned in preview(file, options=options, max_lines=PREVIEW_LINES)
                ],
            }
            for file in files
        ]
    }


@router.get("/workers")
def workers(session: Reading) -> dict[str, list[Any]]:  # Any: WorkerRead
    """The workers that are alive, their devices, and what they run."""
    return {"data": [read_worker(worker) for worker in live_workers(session)]}


def _summary(context: InContext, name: str) -> Json:
    files = dataset_files(context.settings.data_dir, name)
    return {
        "name": name,
        "sources": [file.stem for file in files],
        "bytes": sum(file.bytes for file in files),
        "words": sum(file_words(file) for file in files),
    }
