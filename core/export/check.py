"""The stage `export`: checks that plain `transformers` loads the finished checkpoint.

Training uses this project's own attention, experts and loss. The check computes the loss of the
same text twice, with this project's code and with unmodified `transformers`, and compares the two
losses.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from core.dataset.batches import Batch, validation_windows
from core.dataset.tokens import TokenFile
from core.errors import ExportInvalid
from core.events.journal import events_of_types
from core.events.types import CheckpointData, CheckpointFile, EventData
from core.storage.file_hashes import hash_file
from core.storage.rundir import RunDir, remove_folder
from core.training.loss import summed_loss
from core.training.model.attention.select import use_blocks
from core.training.model.moe.experts import use_sparse_experts

NAME = "last"
WINDOWS = 4
"""Number of sequences for the comparison of the losses."""
TOLERANCE = 1e-3
"""Maximum difference of the two losses in nats per token. In float32 they differ by about 1e-6."""


def check_export(
    *,
    rundir: RunDir,
    tokens: TokenFile,
    seq_length: int,
    emit: Callable[[EventData], None],
    warn: Callable[[str, str], None],
) -> dict[str, Any]:
    """Checks the checkpoint `last` and returns the counts of the stage as JSON.

    Args:
        rundir: The run.
        tokens: Text for the comparison: the validation text if the run has one.
        seq_length: Tokens in a sequence.
        emit: Receives an event if the checkpoint is removed.
        warn: Called if the losses differ by more than `TOLERANCE`.

    Raises:
        ExportInvalid: If a file differs from its record in the journal, or the checkpoint does not
            load. In both cases the checkpoint is removed, and a retry of the job writes it again
            from the newest resume point.
    """
    saved = _newest_save(rundir)
    try:
        _check_files(rundir, saved)
        model, vocabulary = load_plain(rundir.checkpoint(NAME))
    except ExportInvalid:
        emit(saved.model_copy(update={"action": "removed", "files": []}))
        remove_folder(rundir.checkpoint(NAME))
        raise
    batch = next(
        iter(
            validation_windows(
                tokens, seq_length=seq_length, max_tokens=WINDOWS * seq_length, batch_size=WINDOWS
            )
        )
    )
    plain, ours = _plain_loss(model, batch), _our_loss(model, batch)
    if not abs(plain - ours) <= TOLERANCE:
        warn(
            "export_differs",
            f"plain transformers gives the checkpoint {NAME} a loss of {plain:.6f} where training "
            f"gives {ours:.6f} on the same {batch.num_targets} tokens",
        )
    return {
        "files": len(saved.files),
        "bytes": sum(file.size for file in saved.files),
        "parameters": model.num_parameters(),
        "vocabulary": vocabulary,
        "compared_tokens": batch.num_targets,
        "loss": plain,
        "loss_difference": abs(plain - ours),
    }


def load_plain(folder: Path) -> tuple[PreTrainedModel, int]:
    """The model and the vocabulary size of the tokenizer, loaded with `transformers` alone.

    Raises:
        ExportInvalid: If `transformers` cannot load the folder completely.
    """
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ExportInvalid(
            f"transformers cannot load the checkpoint {folder.name}: {error}"
        ) from error
    wrong = {kind: sorted(map(str, names)) for kind, names in found.items() if names}
    if wrong:
        raise ExportInvalid(
            f"transformers reports problems when it loads the checkpoint {folder.name}: {wrong}"
        )
    return model.eval(), len(tokenizer)


def is_unchanged(folder: Path, file: CheckpointFile) -> bool:
    """Whether a file of a checkpoint still has the content that the run wrote."""
    path = folder / file.path
    return path.is_file() and path.stat().st_size == file.size and hash_file(path) == file.sha256


def _newest_save(rundir: RunDir) -> CheckpointData:
    """The newest `saved` event of the checkpoint `NAME`."""
    saved = None
    for event in events_of_types(rundir.journal, "checkpoint"):
        if isinstance(event, CheckpointData) and event.name == NAME and event.action == "saved":
            saved = event
    if saved is None:
        raise ExportInvalid(f"the journal has no record of the checkpoint {NAME}")
    return saved


def _check_files(rundir: RunDir, saved: CheckpointData) -> None:
    for file in saved.files:
        if not is_unchanged(rundir.checkpoint(NAME), file):
            raise ExportInvalid(f"{NAME}/{file.path} is missing or differs from what was written")


@torch.no_grad()
def _plain_loss(model: PreTrainedModel, batch: Batch) -> float:
    """Mean loss in nats per token, computed by `transformers`."""
    logits = model(torch.from_numpy(batch.inputs), use_cache=False).logits.flatten(0, 1)  # (N, V)
    targets = torch.from_numpy(batch.targets).flatten()  # (N,)
    return torch.nn.functional.cross_entropy(logits.float(), targets).item()


@torch.no_grad()
def _our_loss(model: PreTrainedModel, batch: Batch) -> float:
    """Mean loss in nats per token, computed by the training code; modifies the model in place."""
    use_sparse_experts(model)
    use_blocks(model)
    total = summed_loss(model, torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets))
    return total.item() / batch.num_targets
