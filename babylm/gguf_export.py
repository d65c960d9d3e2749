"""Exports checkpoints as GGUF files: downloads the files and starts `core.export.gguf`."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from babylm.client import Client
from babylm.errors import CommandError, UsageError
from babylm.extras import require_packages
from babylm.progress import byte_bar
from core.export.gguf.layout import reason_refused
from core.process.program import python_command

PACKAGES = ("gguf", "safetensors", "numpy")
"""The packages of the extra `gguf`."""
MAGIC = b"GGUF"
"""The first bytes of every GGUF file."""
DOWNLOAD_SUFFIX = ".checkpoint"
REFUSED = "Download the checkpoint with `babylm download`; transformers loads every architecture."
Exported = dict[str, Any]
"""The result of an export, with the keys `file`, `tensors`, `parameters` and `bytes`."""


def export_job(client: Client, job: str, checkpoint: str | None, output: Path | None) -> Exported:
    """Downloads a checkpoint of a job and writes it as a GGUF file.

    The files are downloaded into a folder next to the output. The folder is removed at the end.
    After an interruption, the next call resumes the download in this folder.

    Raises:
        CommandError: If a package is missing, or the model cannot be exported. The architecture is
            checked before the download.
        UsageError: If the output is a file that is not a GGUF file.
    """
    _require_packages()
    found = client.job(job)
    model = found.spec["model"]
    if reason := reason_refused(model["architecture"], model):
        raise CommandError(reason, hint=REFUSED)
    chosen = found.checkpoint(checkpoint)
    target = output or Path(f"{found.id}-{chosen.name}.gguf")
    _require_replaceable(target)
    folder = target.with_name(target.name + DOWNLOAD_SUFFIX)
    with byte_bar("download", chosen.size) as advance:
        chosen.download(folder, replace=True, advance=advance)
    exported = export_folder(folder, target, name=found.name or f"{found.id[:8]}-{chosen.name}")
    shutil.rmtree(folder)
    return {"job": found.id, "checkpoint": chosen.name, **exported}


def export_folder(folder: Path, output: Path, *, name: str | None = None) -> Exported:
    """Writes the checkpoint in a folder as a GGUF file.

    Args:
        folder: The checkpoint.
        output: The file. Its folder is created if it does not exist.
        name: Name of the model in the file. Default: the name of the folder.

    Raises:
        CommandError: If a package is missing, the model cannot be exported, or the file cannot be
            written.
        UsageError: If the output is a file that is not a GGUF file.
    """
    _require_packages()
    _require_replaceable(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    program = python_command("core.export.gguf", str(folder), str(output))
    program += ["--name", name or folder.resolve().name]
    done = subprocess.run(program, capture_output=True, text=True)
    try:
        answer: Exported = json.loads(done.stdout)
    except ValueError as error:
        raise CommandError(f"the export of {folder} failed: {done.stderr.strip()}") from error
    if "refused" in answer:
        raise CommandError(answer["refused"], hint=REFUSED)
    if "failed" in answer:
        raise CommandError(f"the export of {folder} failed: {answer['failed']}")
    return {"file": str(output), **answer}


def _require_replaceable(output: Path) -> None:
    """Refuses an existing file, unless it is a GGUF file, such as that of an earlier export."""
    if not output.is_file():
        return
    with output.open("rb") as file:
        is_export = file.read(len(MAGIC)) == MAGIC
    if not is_export:
        raise UsageError(
            f"{output} exists and is not a GGUF file, so the export does not overwrite it",
            hint="Remove it, or name another file: -o model.gguf",
        )


def _require_packages() -> None:
    hint = "pip install 'babylm-service[gguf]'"
    require_packages(PACKAGES, "write GGUF files", hint=hint)
