"""The job spec: a frozen tree of sections that rejects unknown fields. Does not import torch."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from core.archs import DEFAULT_ARCHITECTURE, AnyArchitecture
from core.archs.base import MAX_VOCAB_SIZE
from core.spec.corpus import CleanOptions
from core.spec.evaluation import EvaluationSpec
from core.spec.finetune import FinetuneSpec
from core.spec.presets import PRESETS, merge_preset
from core.spec.resources import ResourceSpec
from core.spec.section import Section
from core.spec.tracking import TrackerName
from core.spec.training import TrainingSpec

SPEC_VERSION = 1
NAME = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
"""Pattern of names of datasets, jobs and checkpoints, which are names of folders."""
TRACK_WORDS: dict[str, int] = {"strict-small": 10_000_000, "strict": 100_000_000}
"""Maximum number of words in the text of each BabyLM track (calls for papers 2025 and 2026)."""
TRACK_MAX_EPOCHS = 10
"""Maximum number of passes over the training data in the strict tracks (BabyLM guidelines, 2025 and
2026)."""

STORED = {"stored": True}
"""Validation context for a stored spec. Rules that are newer than stored specs are skipped, so that
stored specs stay valid."""

DatasetName = Annotated[str, Field(max_length=64)]
SourceName = Annotated[str, Field(min_length=1, max_length=255)]
"""Name of a source, which is the name of a file without suffix. Files may have any name. For
security, the name of a source is only compared with names of files, and is never part of a path."""


def _folder_name(name: str | None) -> str | None:
    if name is not None and not NAME.match(name):
        raise ValueError(
            "must be 1 to 64 ASCII letters, digits, '.', '_' or '-', and must start with a letter "
            "or digit"
        )
    return name


class DataSpec(Section):
    """Training and validation text."""

    dataset: DatasetName = Field(
        default="train_10M", description="Folder of training text under the data directory."
    )
    validation: DatasetName | None = Field(
        default="dev",
        validate_default=True,
        description="Folder of validation text; null trains without validation.",
    )
    sources: list[SourceName] | None = Field(
        default=None,
        max_length=100,
        description="Names of the files to use, without suffix, such as childes; null: every text "
        "file of the folder.",
    )
    clean: CleanOptions = Field(
        default_factory=CleanOptions,
        description='true, false, "upstream", or an object with style, lowercase, punctuation.',
    )

    text_column: str = Field(
        default="text",
        min_length=1,
        max_length=200,
        description="Name of the column with the text in .jsonl, .csv, .parquet and .arrow files.",
    )
    rows: Literal["documents", "lines"] = Field(
        default="documents",
        description="Meaning of a row of a .jsonl, .csv, .parquet or .arrow file. documents: each "
        "row is a document; lines: each row is a line, and an empty row ends a document.",
    )

    deduplicate: Literal["none", "report", "exact", "near"] = Field(
        default="none",
        description="What to do with repeated text. report: only count repeated documents, nearly "
        "repeated documents, and lines that also occur in the validation text; exact: remove "
        "repeated documents, and lines that also occur in the validation text; near: also remove "
        "nearly repeated documents.",
    )

    @field_validator("clean", mode="before")
    @classmethod
    def _clean_in_short(cls, value: Any) -> Any:  # any JSON value
        if value is True:
            return CleanOptions()
        if value is False:
            return CleanOptions(style="none")
        if value == "upstream":
            return CleanOptions(style="upstream")
        return value

    _names = field_validator("dataset", "validation")(_folder_name)

    @field_validator("sources")
    @classmethod
    def _sources_are_names(cls, sources: list[str] | None) -> list[str] | None:
        if sources is not None and not sources:
            raise ValueError("must name at least one source, or be null for all of them")
        return sources

    @field_validator("validation")
    @classmethod
    def _validation_is_held_out(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is not None and name == info.data.get("dataset"):
            raise ValueError(
                "must differ from data.dataset: training and validation text must not overlap"
            )
        return name


class TokenizerSpec(Section):
    """The byte-level BPE: trained on the training text, or taken from another job or a file."""

    from_job: str | None = Field(
        default=None,
        max_length=64,
        description="Id of another job. The tokenizer of that job is used unchanged. No tokenizer "
        "is trained, min_frequency is ignored, and only the estimate uses vocab_size.",
    )
    path: str | None = Field(
        default=None,
        max_length=200,
        description="An existing tokenizer below the data directory, such as tokenizers/mine: a "
        "folder with a tokenizer.json of Hugging Face, or that file. It must be a byte-level BPE "
        "that splits text into words as GPT-2 does. Its special tokens are replaced, and its size "
        "replaces vocab_size.",
    )

    vocab_size: int = Field(
        default=48_000,
        ge=260,
        le=MAX_VOCAB_SIZE,
        description="Number of entries, including 256 bytes and 3 special tokens.",
    )
    min_frequency: int = Field(
        default=2, ge=1, le=1_000_000, description="Minimum number of occurrences of a merged pair."
    )

    @field_validator("from_job")
    @classmethod
    def _job_is_a_name(cls, job: str | None) -> str | None:
        return _folder_name(job)

    @field_validator("path")
    @classmethod
    def _path_is_below_the_data(cls, path: str | None, info: ValidationInfo) -> str | None:
        if path is None:
            return None
        if not all(NAME.match(part) for part in path.split("/")):
            raise ValueError(
                "must be names of folders below the data directory, separated by '/', such as "
                "tokenizers/mine"
            )
        if info.data.get("from_job") is not None:
            raise ValueError("cannot be given together with from_job: a job has one tokenizer")
        return path


class InitFromSpec(Section):
    """Warm start: the weights from which training starts, instead of random weights.

    The job uses the tokenizer that belongs to the weights. The optimizer starts without state. The
    section `model` must describe the model of the weights; only `dropout` and
    `max_position_embeddings` may differ.
    """

    job: str | None = Field(
        default=None, max_length=64, description="Id of the job that has the checkpoint."
    )
    checkpoint: str = Field(
        default="last", max_length=64, description="Name of the checkpoint of that job."
    )
    path: str | None = Field(
        default=None,
        max_length=400,
        description="Folder below the data directory with a model in the format of this service's "
        "checkpoints; give it instead of job.",
    )

    @property
    def is_set(self) -> bool:
        """Whether training starts from given weights."""
        return self.job is not None or self.path is not None

    _names = field_validator("job", "checkpoint")(_folder_name)

    @field_validator("path")
    @classmethod
    def _stays_in_the_data(cls, path: str | None, info: ValidationInfo) -> str | None:
        if path is None:
            return None
        if not all(NAME.match(part) for part in path.split("/")):
            raise ValueError(
                f"{path!r} is not accepted: give a folder relative to the data directory, such as "
                "models/mine, without . or .."
            )
        if info.data.get("job") is not None:
            raise ValueError("job and path are both given: remove one of them")
        return path


class JobSpec(Section):
    """The request of a user. A field given together with `preset` overrides the preset's value."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, json_schema_extra={"spec_version": SPEC_VERSION}
    )

    name: str | None = Field(
        default=None, min_length=1, max_length=200, description="Display name; need not be unique."
    )
    preset: str | None = Field(
        default=None, description="Start from this preset; see GET /v1/presets."
    )
    track: Literal["free", "strict-small", "strict"] = Field(
        default="free",
        description="strict-small and strict enforce the BabyLM rules: at most 10 or 100 million "
        "words, at most 10 epochs, and checkpoints at given numbers of words seen.",
    )
    task: Literal["model", "tokenizer", "finetune"] = Field(
        default="model",
        description="model: train a tokenizer and a model. tokenizer: stop after training and "
        "measuring the tokenizer; `model` and `training` are ignored. finetune: fine-tune a "
        "checkpoint of another job, see `finetune`; `model` and `tokenizer` are those of the other "
        "job, `data` is ignored, and of `training` only `device` and `num_threads` are used.",
    )
    data: DataSpec = Field(default_factory=DataSpec)
    tokenizer: TokenizerSpec = Field(default_factory=TokenizerSpec)
    init_from: InitFromSpec = Field(default_factory=InitFromSpec)
    model: AnyArchitecture = Field(default_factory=DEFAULT_ARCHITECTURE)
    training: TrainingSpec = Field(default_factory=TrainingSpec)
    evaluation: EvaluationSpec = Field(default_factory=EvaluationSpec)
    finetune: FinetuneSpec | None = Field(
        default=None,
        validate_default=True,
        description="For the task finetune: the checkpoint, the tasks and the settings.",
    )
    resources: ResourceSpec = Field(default_factory=ResourceSpec)
    tracking: list[TrackerName] = Field(
        default_factory=list,
        max_length=3,
        description="Experiment trackers (tensorboard, wandb, mlflow) that get a copy of the run, "
        "in addition to those in BABYLM_TRACKING.",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, body: Any) -> Any:  # any JSON value
        if not isinstance(body, dict):
            return body
        body = merge_preset(body)
        body = _with_its_tokenizer(body)
        model = body.get("model")
        if isinstance(model, dict) and "architecture" not in model:
            name = DEFAULT_ARCHITECTURE.model_fields["architecture"].default
            body = body | {"model": {"architecture": name} | model}
        return body

    @field_validator("preset")
    @classmethod
    def _preset_exists(cls, preset: str | None) -> str | None:
        if preset is not None and preset not in PRESETS:
            raise ValueError(f"must be one of {', '.join(PRESETS)}")
        return preset

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str | None) -> str | None:
        if name is not None and not name.isprintable():
            raise ValueError("must not contain control characters or line breaks")
        return name

    @field_validator("init_from")
    @classmethod
    def _warm_start_is_possible(cls, init_from: InitFromSpec, info: ValidationInfo) -> InitFromSpec:
        if not init_from.is_set:
            return init_from
        track, tokenizer = info.data.get("track", "free"), info.data.get("tokenizer")
        if track in TRACK_WORDS:
            raise ValueError(
                f"the words of the earlier training count against the budget of track {track}, and "
                "this job cannot know them all: use track free, or start from random weights"
            )
        if info.data.get("task") == "tokenizer":
            raise ValueError("task is tokenizer, which trains no weights: omit init_from")
        if tokenizer is not None and tokenizer.from_job != init_from.job:
            raise ValueError(
                f"tokenizer.from_job is {tokenizer.from_job}: the tokenizer belongs to the "
                "weights; omit tokenizer.from_job"
            )
        if tokenizer is not None and tokenizer.path is not None:
            raise ValueError("tokenizer.path is set: the tokenizer belongs to the weights; omit it")
        return init_from

    @field_validator("training")
    @classmethod
    def _epochs_within_track(cls, training: TrainingSpec, info: ValidationInfo) -> TrainingSpec:
        track = info.data.get("track", "free")
        if track in TRACK_WORDS and training.epochs > TRACK_MAX_EPOCHS:
            raise ValueError(
                f"epochs is {training.epochs:g}; track {track} allows at most {TRACK_MAX_EPOCHS}"
            )
        return training

    @field_validator("training")
    @classmethod
    def _early_stopping_is_measured(
        cls, training: TrainingSpec, info: ValidationInfo
    ) -> TrainingSpec:
        data = info.data.get("data")
        if training.early_stopping_patience is not None and data and data.validation is None:
            raise ValueError(
                f"early_stopping_patience is {training.early_stopping_patience}, and "
                "data.validation is null: early stopping needs a validation loss; name a "
                "validation dataset, or set early_stopping_patience to null"
            )
        return training

    @field_validator("training")
    @classmethod
    def _sequences_fit_the_model(cls, training: TrainingSpec, info: ValidationInfo) -> TrainingSpec:
        model = info.data.get("model")
        longest = None if model is None else model.max_position_embeddings
        if longest is not None and longest < training.seq_length and info.context != STORED:
            raise ValueError(
                f"seq_length is {training.seq_length}, and model.max_position_embeddings is "
                f"{longest}: the model must accept whole sequences; raise "
                f"model.max_position_embeddings to {training.seq_length} or more, omit it, or "
                "lower seq_length"
            )
        return training

    @field_validator("finetune")
    @classmethod
    def _finetune_has_a_checkpoint(
        cls, finetune: FinetuneSpec | None, info: ValidationInfo
    ) -> FinetuneSpec | None:
        task = info.data.get("task")
        if task == "finetune" and finetune is None:
            raise ValueError(
                'task is finetune, but finetune is null: give a checkpoint, such as {"job": ID, '
                '"checkpoint": "last"}'
            )
        if task in ("model", "tokenizer") and finetune is not None:
            raise ValueError(f"task is {task}: give finetune only with the task finetune")
        return finetune

    @field_validator("resources")
    @classmethod
    def _gpus_serve_the_devices(cls, resources: ResourceSpec, info: ValidationInfo) -> ResourceSpec:
        training = info.data.get("training")
        if resources.gpus is None or training is None or training.device == "cpu":
            return resources
        if resources.gpus == 0 and training.device == "cuda":
            raise ValueError("gpus is 0 and training.device is cuda: change one of them")
        if 0 < resources.gpus < training.num_devices:
            raise ValueError(
                f"gpus is {resources.gpus} and training.num_devices is {training.num_devices}: "
                "each device needs a GPU"
            )
        return resources

    def resolve(self, *, begun: "JobSpec | None" = None) -> Self:
        """The same spec with every null of the model replaced by the value that will be used.

        Args:
            begun: The resolved spec of an existing run. Fields of the model that are null in `self`
                get their values from `begun`, because a default may have changed since the run was
                created.
        """
        model = self.model.resolve(seq_length=self.training.seq_length)
        if begun is not None and type(begun.model) is type(model):
            # For a field that is still null after `resolve`, null is a value, not a default.
            kept = {
                name: getattr(begun.model, name)
                for name in type(model).model_fields
                if getattr(self.model, name) is None and getattr(model, name) is not None
            }
            model = model.model_copy(update=kept)
        name = self.name or f"{self.preset or model.architecture} on {self.data.dataset}"
        if self.name is None and self.finetune is not None:
            name = f"{self.finetune.checkpoint} of {self.finetune.job} on {self.finetune.folder}"
        return self.model_copy(update={"model": model, "name": name})


def _with_its_tokenizer(body: dict[str, Any]) -> dict[str, Any]:  # any JSON value
    """The body; if `init_from` names a job, `tokenizer.from_job` names the same job."""
    init_from, tokenizer = body.get("init_from"), body.get("tokenizer", {})
    job = init_from.get("job") if isinstance(init_from, dict) else None
    if job is None or not isinstance(tokenizer, dict) or tokenizer.get("from_job") is not None:
        return body
    return body | {"tokenizer": tokenizer | {"from_job": job}}
