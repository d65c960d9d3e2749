"""Builds the folder of a submission in slices of limited time, between which other tasks can run.

Each slice checks some checkpoints. The last slice writes the folder, which appears complete or not
at all. In the folder, `report.json` lists the contents and the missing parts, and `manifest.json`
lists the files.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.errors import SubmissionInvalid
from core.export.submission.card import CARD_FILE, submission_card
from core.export.submission.check import check_revision
from core.export.submission.collate import Collected, collect_results
from core.export.submission.hub_folder import Revision, cache_name, write_revisions
from core.export.submission.ledger import budget_ledger
from core.export.submission.plan import SubmissionPlan, plan_submission
from core.storage.file_hashes import hash_file
from core.storage.inputs import clean_counts
from core.storage.rundir import STAGING_SUFFIX, RunDir, publish_folder, remove_folder

Json = dict[str, Any]
"""A JSON object with values of any type."""
REPORT_FILE, MANIFEST_FILE = "report.json", "manifest.json"
SHOWN_FAULTS = 20
SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class Submission:
    """The parameters of a submission."""

    rundir: RunDir
    data_dir: Path
    repository: str
    """Name of the repository on the Hub, USER/NAME."""
    checkpoint: str
    """The checkpoint that becomes the branch `main`."""
    folder: Path
    """The folder to publish."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Scores of this checkpoint by task, for the model card."""


def advance_submission(
    submission: Submission,
    state: Json | None,
    *,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> Json:
    """Runs a slice of about `seconds`; returns the state for the next slice, or finally the report.

    `state` is what the previous slice returned under the key `state`; None begins the build.

    Raises:
        SubmissionInvalid: If a checkpoint is missing, damaged or does not load; the message names
            each fault.
    """
    began = clock()
    plan = plan_submission(submission.rundir, checkpoint=submission.checkpoint)
    revisions = plan.revisions
    done = int((state or {}).get("checked", 0))
    faults = list((state or {}).get("faults", []))
    while done < len(revisions):
        faults += check_revision(revisions[done])
        done += 1
        if clock() - began >= seconds:
            progress = done / (len(revisions) + 1)
            return {"state": {"checked": done, "faults": faults}, "progress": progress}
    if faults:
        more = f"; and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
        raise SubmissionInvalid("; ".join(faults[:SHOWN_FAULTS]) + more)
    publish_folder(submission.folder, lambda folder: _write(folder, submission, plan))
    _remove_older(submission.folder)
    report: Json = json.loads((submission.folder / REPORT_FILE).read_bytes())
    return report


def _write(folder: Path, submission: Submission, plan: SubmissionPlan) -> None:
    found = collect_results(
        folder,
        repository=submission.repository,
        plan=plan,
        rundir=submission.rundir,
        data_dir=submission.data_dir,
    )
    ledger = budget_ledger(
        plan.spec,
        rundir=submission.rundir,
        counts=clean_counts(submission.rundir.journal),
        words_seen=plan.words_seen,
    )
    card = submission_card(submission.repository, plan, ledger, submission.scores)
    (folder / CARD_FILE).write_text(card)
    replaced = plan.final.replaced | {CARD_FILE: card.encode()}
    final = replace(plan.final, replaced=replaced)
    commits = write_revisions(
        folder, submission.repository, (*plan.milestones, final), seconds=_seconds(plan.final)
    )
    report = _report(submission, plan, commits, found) | {"budget": ledger.model_dump()}
    (folder / REPORT_FILE).write_text(json.dumps(report, indent=1) + "\n")
    manifest = {"files": list(_files(folder)), "links": list(_links(folder))}
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest) + "\n")


def _remove_older(folder: Path) -> None:
    """Removes the other submissions of the job."""
    for other in folder.parent.iterdir():
        if other != folder and not other.name.endswith(STAGING_SUFFIX):
            remove_folder(other)


def _report(
    submission: Submission, plan: SubmissionPlan, commits: dict[str, str], found: Collected
) -> Json:
    return {
        "repository": submission.repository,
        "track": plan.spec.track,
        "checkpoint": submission.checkpoint,
        "words_seen": plan.words_seen,
        "cache": cache_name(submission.repository),
        "revisions": [
            {
                "branch": each.branch,
                "checkpoint": each.checkpoint.name,
                "step": each.checkpoint.step,
                "words_seen": each.checkpoint.words_seen,
                "commit": commits[each.branch],
            }
            for each in plan.revisions
        ],
        "not_reached": list(plan.not_reached),
        "missing": found.missing,
        "differences": found.differences,
        "warnings": plan.warnings(),
        "complete": not (found.missing or found.differences or plan.not_reached),
    }


def _seconds(final: Revision) -> int:
    """Unix time of all commits, from the final checkpoint, so that a rebuild gives the same ids."""
    return int((final.folder / final.checkpoint.files[0].path).stat().st_mtime)


def _files(folder: Path) -> Iterator[Json]:
    """Path, size and hash of each regular file."""
    known: dict[tuple[int, int], str] = {}
    for path in _walk(folder):
        if path.is_symlink():
            continue
        state = path.stat()
        inode = (state.st_dev, state.st_ino)
        if inode not in known:
            # The name of a large file is its hash, which `check_revision` has just verified.
            known[inode] = path.name if SHA256.match(path.name) else hash_file(path)
        name = path.relative_to(folder).as_posix()
        yield {"path": name, "size": state.st_size, "sha256": known[inode]}


def _links(folder: Path) -> Iterator[Json]:
    """Path and target of each symbolic link."""
    for path in _walk(folder):
        if path.is_symlink():
            yield {"path": path.relative_to(folder).as_posix(), "target": str(path.readlink())}


def _walk(folder: Path) -> Iterator[Path]:
    for directory, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            yield Path(directory) / name
