"""Warm start: copies weights and tokenizer from the source in `init_from` into the run folder.

The service makes the copy when a job is submitted. If a run has no copy, `core.run` makes the copy
before training. After that, the run no longer needs the job or the folder that `init_from` names.
This module does not import torch.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.archs import Architecture
from core.errors import InitialWeightsInvalid, TokenizerInvalid
from core.spec.job import InitFromSpec, JobSpec
from core.storage.links import link_or_copy
from core.storage.model_files import CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE
from core.storage.rundir import RunDir, publish_folder, remove_folder
from core.tokenizer.config import save_config
from core.tokenizer.existing import ExistingTokenizer, convert
from core.tokenizer.report import REPORT, TokenizerReport
from core.tokenizer.specials import SPECIAL_TOKENS

SOURCE_FILE = "source.json"
"""Name of the file that records from which `init_from` the copy was made."""
IGNORED_FIELDS = {"max_position_embeddings"}
"""Fields of `config.json` that may differ from the spec. No weight depends on the maximum
number of input tokens."""


def take_initial_weights(spec: JobSpec, rundir: RunDir, data_dir: Path) -> None:
    """Copies weights and tokenizer into the run folder, if the copy does not exist.

    Raises:
        InitialWeightsInvalid: If the checkpoint or folder is missing, or if its model differs from
            the model of the spec.
    """
    start = spec.init_from
    taken = _source_of(rundir)
    if not start.is_set or taken == start:
        return
    weights, tokenizer = source_folders(start, rundir.root.parent, data_dir)
    require_same_model(spec, weights, tokenizer)

    def build(folder: Path) -> None:
        # A checkpoint never changes, so a link is enough. The weights of a folder are copied,
        # because users may edit them.
        copy = link_or_copy if start.job is not None else shutil.copyfile
        copy(weights / WEIGHTS_FILE, folder / WEIGHTS_FILE)
        (folder / SOURCE_FILE).write_text(start.model_dump_json(), encoding="utf-8")
        own = folder / rundir.initial_tokenizer.name
        own.mkdir(exist_ok=True)
        for name in (TOKENIZER_FILE, REPORT):
            if (tokenizer / name).is_file():
                shutil.copyfile(tokenizer / name, own / name)
        save_config(own)
        if not (own / REPORT).is_file():
            report = _report(_existing(own))
            (own / REPORT).write_text(report.model_dump_json(indent=1), encoding="utf-8")

    if taken is not None:  # the spec was edited before training started
        remove_folder(rundir.initial)
    publish_folder(rundir.initial, build)


def _source_of(rundir: RunDir) -> InitFromSpec | None:
    """The section `init_from` from which the copy of a run was made; None if there is no copy."""
    try:
        return InitFromSpec.model_validate_json((rundir.initial / SOURCE_FILE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def initial_folder(spec: JobSpec, rundir: RunDir) -> Path | None:
    """The folder of the copy in a run folder; None if the run starts from random weights."""
    return rundir.initial if spec.init_from.is_set else None


def source_folders(init_from: InitFromSpec, jobs_dir: Path, data_dir: Path) -> tuple[Path, Path]:
    """The folder with the weights, and the folder with the tokenizer.

    Raises:
        InitialWeightsInvalid: If a file in one of the folders is missing, or if `path` leads
            out of the data directory.
    """
    if init_from.job is not None:
        job = RunDir(jobs_dir / init_from.job)
        weights, tokenizer = job.checkpoint(init_from.checkpoint), job.tokenizer
        what = f"checkpoint {init_from.checkpoint} of job {init_from.job}"
    else:
        assert init_from.path is not None
        weights = tokenizer = data_dir / init_from.path
        what = f"the folder {init_from.path} of the data directory"
        if not weights.resolve().is_relative_to(data_dir.resolve()):
            raise InitialWeightsInvalid(f"{what} is a link that leads out of the data directory")
    needed = [weights / WEIGHTS_FILE, weights / CONFIG_FILE, tokenizer / TOKENIZER_FILE]
    missing = [path.name for path in needed if not path.is_file()]
    if missing:
        raise InitialWeightsInvalid(f"{what} does not exist or has no {', '.join(missing)}")
    return weights, tokenizer


def require_same_model(spec: JobSpec, weights: Path, tokenizer: Path) -> None:
    """Checks that the weights fit the spec, and that the tokenizer fits the weights.

    Raises:
        InitialWeightsInvalid: If the weights or the tokenizer do not fit; the message says why.
    """
    config = read_object(weights / CONFIG_FILE)
    different = _differences(spec.model, config)
    if different:
        raise InitialWeightsInvalid(
            f"the model of the job differs from the weights in {'; '.join(different)}"
        )
    _existing(tokenizer)
    entries = _vocabulary(read_object(tokenizer / TOKENIZER_FILE))
    if [entries.get(token) for token in SPECIAL_TOKENS] != list(range(len(SPECIAL_TOKENS))):
        raise InitialWeightsInvalid(
            f"in {TOKENIZER_FILE}, the special tokens {', '.join(SPECIAL_TOKENS)} must have the "
            f"ids 0 to {len(SPECIAL_TOKENS) - 1}, in this order"
        )
    if len(entries) != config.get("vocab_size"):
        raise InitialWeightsInvalid(
            f"{TOKENIZER_FILE} has {len(entries)} entries, and the vocab_size of the weights is "
            f"{config.get('vocab_size')}"
        )


def read_object(path: Path) -> dict[str, Any]:  # any JSON value
    """The JSON object in a file.

    Raises:
        InitialWeightsInvalid: If the file contains no JSON object.
    """
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise InitialWeightsInvalid(f"{path.name} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise InitialWeightsInvalid(f"{path.name} holds no JSON object")
    return content


def _differences(model: Architecture, config: Mapping[str, Any]) -> list[str]:
    """Descriptions of the differences between the model of a spec and a `config.json`.

    Each description names a field, its value in the job and its value in the weights.
    """
    classes = config.get("architectures") or ["unknown"]
    if classes[0] != model.model_class:
        return [f"the architecture: {model.model_class} in the job, {classes[0]} in the weights"]
    ours = model.config_arguments(vocab_size=0)
    ours["rope_theta"] = ours.pop("rope_parameters")["rope_theta"]
    theirs = {"rope_theta": (config.get("rope_parameters") or {}).get("rope_theta"), **config}
    return [
        f"{name}: {value} in the job, {theirs.get(name)} in the weights"
        for name, value in ours.items()
        if name not in IGNORED_FIELDS | {"vocab_size"} and theirs.get(name) != value
    ]


def _vocabulary(tokenizer: Mapping[str, Any]) -> dict[str, int]:
    """The id of each token in a `tokenizer.json`."""
    model, added = tokenizer.get("model") or {}, tokenizer.get("added_tokens") or []
    return {**model.get("vocab", {}), **{token["content"]: token["id"] for token in added}}


def _existing(folder: Path) -> ExistingTokenizer:
    """The tokenizer in a folder, checked like a tokenizer that `tokenizer.path` names."""
    try:
        return convert((folder / TOKENIZER_FILE).read_bytes(), TOKENIZER_FILE)
    except TokenizerInvalid as error:
        raise InitialWeightsInvalid(error.message) from error


def _report(tokenizer: ExistingTokenizer) -> TokenizerReport:
    """The report of a tokenizer that this service did not train."""
    return TokenizerReport(
        requested_vocab_size=tokenizer.vocab_size,
        vocab_size=tokenizer.vocab_size,
        merges=tokenizer.merges,
        bytes=0,
        counting_seconds=0.0,
        merging_seconds=0.0,
    )
