"""Checks that each score of `chaos.season` is recorded exactly once and is correct.

The check reads database and files with its own code. It evaluates each checkpoint again, without
disturbance, and compares scores and predictions.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Set
from contextlib import closing
from pathlib import Path
from typing import Any

from core.short import RequestHandler
from core.storage.file_hashes import hash_file
from core.storage.rundir import RunDir

Score = tuple[str, str]
"""Job and task. All scores of a season belong to the checkpoint `last`."""
CHECKPOINT = "last"


def check_season(runs: Path, data: Path, *, expected: Set[Score]) -> tuple[list[str], int]:
    """The violations, and the number of recorded scores.

    Args:
        runs: The folder of the runs of a service that has ended.
        data: The data directory of this service.
        expected: The scores that must be recorded.
    """
    violations: list[str] = []
    with closing(sqlite3.connect(f"file:{runs / 'babylm.sqlite3'}?mode=ro", uri=True)) as database:
        recorded = _recorded(database)
        for name, scores in recorded.items():
            violations += _compare_counts(name, scores, expected)
        for (task,) in database.execute(
            "SELECT id FROM short_task WHERE status IN ('queued', 'running')"
        ):
            violations.append(f"the task {task} has not ended")
    events = dict(recorded["events"])
    for name, scores in recorded.items():
        violations += [
            f"{name}: {where} is {value}, but its event has {events[where]}"
            for where, value in scores
            if where in events and events[where] != value
        ]
    violations += _repeated(runs, data, events)
    violations += _submissions(runs)
    violations += [
        f"incomplete file: {path.relative_to(runs)}" for path in (runs / "jobs").glob("*/**/*.tmp")
    ]
    return violations, len(events)


def _recorded(database: sqlite3.Connection) -> dict[str, list[tuple[Score, float]]]:
    """Each place in which the service records scores, with all its records."""
    events = "SELECT job_id, data FROM job_event WHERE type = 'evaluation'"
    tasks = (
        "SELECT job_id, request, result FROM short_task "
        "WHERE kind = 'evaluate' AND status = 'succeeded'"
    )
    metrics = "SELECT job_id, name, value FROM metric WHERE name LIKE 'evaluation/%'"
    return {
        "events": [
            ((job, data["task"]), data["scores"]["score"])
            for job, data in ((job, json.loads(text)) for job, text in database.execute(events))
        ],
        "evaluations": [
            ((job, json.loads(request)["task"]), json.loads(result)["score"])
            for job, request, result in database.execute(tasks)
        ],
        "metrics": [
            ((job, name.removeprefix("evaluation/")), value)
            for job, name, value in database.execute(metrics)
        ],
    }


def _compare_counts(
    name: str, scores: list[tuple[Score, float]], expected: Set[Score]
) -> Iterator[str]:
    counts = Counter(where for where, _ in scores)
    for where in sorted(expected | set(counts)):
        if where not in expected:
            yield f"{name}: {where} was not asked for"
        elif counts[where] != 1:
            yield f"{name}: {where} is recorded {counts[where]} times"


def _repeated(runs: Path, data: Path, events: dict[Score, float]) -> Iterator[str]:
    """Compares the scores and predictions with those of an undisturbed evaluation."""
    handler = RequestHandler()
    for (job, task), score in events.items():
        rundir = RunDir(runs / "jobs" / job)
        again = rundir.root / "repeated" / task / "predictions.json"
        request = {
            "id": "0",
            "kind": "evaluate",
            "checkpoint_dir": str(rundir.checkpoint(CHECKPOINT)),
            "task_dir": str(data / "evaluations" / task),
            "predictions_file": str(again),
            "slice_seconds": 600.0,
        }
        answer = handler.answer(json.dumps(request))
        if answer.get("score") != score:
            yield f"{job} {task}: recorded {score}, undisturbed {answer}"
        elif again.read_bytes() != rundir.predictions(CHECKPOINT, task).read_bytes():
            yield f"{job} {task}: its predictions differ from those of an undisturbed evaluation"


def _submissions(runs: Path) -> Iterator[str]:
    """Checks that a job has at most one submission, and that the files match its manifest."""
    for parent in (runs / "jobs").glob("*/submissions"):
        folders = list(parent.iterdir())
        if len(folders) != 1:
            yield f"{parent.parent.name} has {len(folders)} submissions"
        for folder in folders:
            manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())  # JSON
            for file in manifest["files"]:
                if hash_file(folder / file["path"]) != file["sha256"]:
                    yield f"{parent.parent.name}: {file['path']} differs from its manifest"
