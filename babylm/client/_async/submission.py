"""Builds the submission of a job, and downloads its folder."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from babylm.client import wire
from babylm.client._async.connection import AsyncConnection
from babylm.client._async.download import Advance, download_files, inside
from babylm.client.errors import BabylmError, InvalidUsage, TransferFailed

POLL_SECONDS = 0.5
PART_SUFFIX = ".part"
MANIFEST_FILE = "manifest.json"


async def build_submission(
    client: AsyncConnection,
    job_id: str,
    repository: str,
    *,
    checkpoint: str = "last",
    evaluate: bool = True,
    advance: Callable[[wire.Body], None] = lambda _: None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> wire.Body:
    """Builds a submission and waits for it; returns its report.

    Args:
        client: The connection.
        job_id: The job.
        repository: USER/NAME on the Hub.
        checkpoint: The checkpoint that becomes the branch `main`.
        evaluate: Whether to run the evaluations that are missing.
        advance: Called with the state of the submission after each request.
        sleep: Function that waits between two requests.

    Raises:
        BabylmError: If the submission was refused or failed.
    """
    path = f"/v1/jobs/{job_id}/submission"
    body = {"repository": repository, "checkpoint": checkpoint, "evaluate": evaluate}
    while True:
        found: wire.Body = await client.call("POST", path, json=body)
        while found["status"] not in ("succeeded", "failed"):
            advance(found)
            await sleep(POLL_SECONDS)
            found = await client.poll(path, sleep=sleep)
        if found["status"] == "failed":
            error = found["error"] or {}
            raise BabylmError(
                f"the submission failed: {error.get('message')}",
                hint=error.get("hint") or None,
                code=error.get("code"),
                details={"submission": found},
            )
        report: wire.Body = found["report"]
        # Builds it again if the report belongs to a request for another repository, or if
        # another worker still runs an evaluation that the report lacks.
        is_same = found["repository"] == repository
        if is_same and not (evaluate and report["missing"] and found["unfinished_evaluations"]):
            return report
        while found["unfinished_evaluations"]:
            advance(found)
            await sleep(POLL_SECONDS)
            found = await client.poll(path, sleep=sleep)


async def download_submission(
    client: AsyncConnection,
    job_id: str,
    output: Path,
    *,
    advance: Advance = lambda _: None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> wire.Body:
    """Downloads the folder of the newest submission; returns its manifest.

    Files are collected in `OUTPUT.part`, which is renamed when it is complete. A call after an
    interruption continues with this folder.

    Raises:
        InvalidUsage: If `output` exists and contains something else.
        TransferFailed: If a file cannot be fetched, or arrives with the wrong content.
    """
    path = f"/v1/jobs/{job_id}/submission"
    manifest: wire.Body = await client.call("GET", f"{path}/manifest")
    if output.exists():
        if _manifest_of(output) == manifest:
            return manifest
        raise InvalidUsage(
            f"{output} exists and is not the newest submission of the job",
            hint="Remove it, or name another folder: -o FOLDER.",
        )
    part = output.with_name(output.name + PART_SUFFIX)
    await download_files(
        client, f"{path}/files/", manifest["files"], part, advance=advance, sleep=sleep
    )
    _write_links(part, manifest)
    (part / MANIFEST_FILE).write_text(json.dumps(manifest) + "\n")
    _remove_others(part, manifest)
    part.rename(output)
    return manifest


def _write_links(folder: Path, manifest: wire.Body) -> None:
    root = os.path.normpath(folder) + os.sep
    for link in manifest["links"]:
        path = folder / inside(link["path"])
        # Compared as text, because the target of a link does not always exist yet.
        if not os.path.normpath(path.parent / link["target"]).startswith(root):
            raise TransferFailed(
                f"the service lists a link that does not lead into the folder: {link['path']!r}"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(link["target"])


def _remove_others(folder: Path, manifest: wire.Body) -> None:
    """Removes files that an interrupted download of another submission left in the folder."""
    entries = [*manifest["files"], *manifest["links"], {"path": MANIFEST_FILE}]
    expected = {folder / inside(each["path"]) for each in entries}
    for directory, _, names in os.walk(folder):
        for name in names:
            path = Path(directory) / name
            if path not in expected:
                path.unlink()


def _manifest_of(folder: Path) -> wire.Body | None:
    try:
        manifest: wire.Body = json.loads((folder / MANIFEST_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return manifest
