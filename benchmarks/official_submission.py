"""Runs the official scripts offline on a submission, and compares their results with ours.

    python -m benchmarks.official_submission --pipeline FOLDER --python PYTHON --data FOLDER SUBM

SUBM is a folder that `babylm submission` made, and `--data` the folder `evaluations` with the
files of the tasks. `--pipeline` and `--python` have the same meaning as in `benchmarks.official`.
In a copy of the pipeline, the command runs `eval_zero_shot.sh`, `eval_zero_shot_fast.sh` for each
milestone, `eval_aoa.sh` and, if the submission is complete, `collate_preds.sh`. It does not modify
these scripts, and sends their output to standard error. The command prints a JSON line for each
file. It exits with 1 if a prediction differs, or if the relative difference of a surprisal or a
score is larger than TOLERANCE.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.export.submission.collate import COLLATED, model_stem

TOLERANCE = 1e-6
PROBABILITY_TOLERANCE = 1e-4
"""Tolerance of `prob` in a WUG task: the rounding of two float32 sums of about 100 nats."""
WORDS = "evaluation_data/full_eval/cdi_childes/cdi_childes.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", type=Path, required=True)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("submission", type=Path, metavar="SUBM")
    options = parser.parse_args()
    if not (options.pipeline / "evaluation_pipeline").is_dir():
        print(f"skipped, because {options.pipeline} has no folder evaluation_pipeline")
        return 0
    report = json.loads((options.submission / "report.json").read_bytes())
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "pipeline"
        shutil.copytree(options.pipeline, copy, ignore=shutil.ignore_patterns("evaluation_data"))
        (copy / "evaluation_data").mkdir()
        for name in ("full_eval", "fast_eval"):
            (copy / "evaluation_data" / name).symlink_to(options.data.resolve())
        run_scripts(copy, report, options)
        lines = list(compare(options.submission / "results", copy / "results", report))
    for line in lines:
        print(json.dumps(line), flush=True)
    return 0 if lines and all(line["equal"] for line in lines) else 1


def run_scripts(pipeline: Path, report: dict[str, Any], options: argparse.Namespace) -> None:
    """Runs the official scripts in their own environment, without a network."""
    name, track = report["repository"], report["track"]
    milestones = [each["branch"] for each in report["revisions"] if each["branch"] != "main"]
    commands = [["eval_zero_shot.sh", name, "causal"]]
    commands += [["eval_zero_shot_fast.sh", name, each, "causal"] for each in milestones]
    if milestones:
        aoa_track = track if track == "strict-small" else f"non-{track}-small"
        commands.append(["eval_aoa.sh", name, "causal", aoa_track, WORDS])
    environment = os.environ | {
        "PATH": f"{options.python.absolute().parent}:{os.environ['PATH']}",
        "HF_HUB_CACHE": str(options.submission.resolve()),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    for command in commands:
        _run(command, pipeline, environment)
    if report["complete"]:
        ours, theirs = options.submission / "results", pipeline / "results"
        finetuned = Path(model_stem(name), "main", "finetune")
        shutil.copytree(ours / finetuned, theirs / finetuned)
        _run(["collate_preds.sh", name, "causal", track], pipeline, environment)


def _run(command: list[str], pipeline: Path, environment: dict[str, str]) -> None:
    print(" ".join(command), file=sys.stderr, flush=True)
    subprocess.run(["bash", *command], cwd=pipeline, env=environment, stdout=sys.stderr, check=True)


def compare(ours: Path, theirs: Path, report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A line for each file of the official scripts."""
    stem = model_stem(report["repository"])
    names = ["predictions.json", "surprisal.json", COLLATED]
    for file in sorted(path for name in names for path in (theirs / stem).rglob(name)):
        place = file.relative_to(theirs)
        counts = {"values": 0, "different": 0, "largest_relative_difference": 0.0}
        _compare(_read(ours / place), _read(file), counts)
        yield {"file": str(place), **counts, "equal": not counts["different"]}


def _read(path: Path) -> Any:  # any JSON value
    return json.loads(path.read_bytes()) if path.is_file() else None


def _compare(
    ours: Any,  # any JSON value
    theirs: Any,  # any JSON value
    counts: dict[str, Any],
    tolerance: float = TOLERANCE,
) -> None:
    if isinstance(ours, dict) and isinstance(theirs, dict) and ours.keys() == theirs.keys():
        for key, value in ours.items():
            allowed = PROBABILITY_TOLERANCE if key == "prob" else TOLERANCE
            _compare(value, theirs[key], counts, allowed)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for mine, other in zip(ours, theirs, strict=True):
            _compare(mine, other, counts)
    elif _is_missing(ours) and _is_missing(theirs):
        counts["values"] += 1
    elif isinstance(ours, float) and isinstance(theirs, float):
        counts["values"] += 1
        difference = abs(ours - theirs) / max(abs(theirs), 1e-3)
        largest = counts["largest_relative_difference"]
        counts["largest_relative_difference"] = float(f"{max(largest, difference):.2g}")
        counts["different"] += difference > tolerance
    else:
        counts["values"] += 1
        counts["different"] += ours != theirs


def _is_missing(value: object) -> bool:
    """True for null and NaN: the official scripts write NaN, and our predictions null."""
    return value is None or (isinstance(value, float) and math.isnan(value))


if __name__ == "__main__":
    sys.exit(main())
