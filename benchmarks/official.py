"""Compares our scores and predictions with those of the official BabyLM pipeline.

    python -m benchmarks.official --pipeline FOLDER --python PYTHON --data FOLDER CHECKPOINT...

`--pipeline` names a checkout of babylm/evaluation-pipeline-2025, or the folder `strict` in a
checkout of babylm-org/babylm-eval. `--python` names an interpreter that has the requirements of
that pipeline. The command runs the official `evaluation_pipeline` and our evaluation on every task
folder of `--data`, by default on generated files. It prints a JSON line per task. It exits with 1
if a printed digit of a score differs, or if a prediction differs and rounding cannot explain it,
because the scores of its candidates differ by more than ROUNDING.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.evaluated import evaluated
from core.checkpoints.generate import load_checkpoint
from core.checkpoints.model import quiet_transformers
from core.evaluation.prepared import Choices
from core.evaluation.registry import recognise
from core.events.results import EvaluationResult
from tests.official_files import write_official_files

Json = dict[str, Any]
NAMES = {"minimal_pairs": "blimp", "ewok": "ewok", "comps": "comps"}
NAMES |= {"entity_tracking": "entity_tracking", "reading": "reading"}
ROUNDING = 2e-4
"""Difference of scores in nats below which float32 rounding can change the order of candidates."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", type=Path, required=True)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    options = parser.parse_args()
    if not (options.pipeline / "evaluation_pipeline").is_dir():
        print(f"skipped, because {options.pipeline} has no folder evaluation_pipeline")
        return 0
    quiet_transformers()
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        data = options.data
        if data is None:
            data = Path(scratch) / "generated"
            write_official_files(data)
        for checkpoint in options.checkpoints:
            for task in sorted(path for path in data.iterdir() if path.is_dir()):
                if recognise(task).name == "aoa":
                    # The official script needs milestones: see benchmarks.official_submission.
                    print(f"skipped the task {task.name} (age of acquisition)", file=sys.stderr)
                    continue
                line = compare(checkpoint, task, options, Path(scratch))
                print(json.dumps(line), flush=True)
                failed = failed or not line["equal"]
    return 1 if failed else 0


def compare(checkpoint: Path, task: Path, options: argparse.Namespace, scratch: Path) -> Json:
    """Evaluates one checkpoint on one task with both programs."""
    kind = recognise(task).name
    began = time.monotonic()
    report, theirs = run_official(checkpoint, task, kind, options, scratch)
    official_seconds = time.monotonic() - began
    began = time.monotonic()
    result, ours, margins = run_ours(checkpoint, task, options.threads)
    line: Json = {"checkpoint": str(checkpoint), "task": task.name, "kind": kind}
    line |= {"items": result.pairs, "official": report, "ours": printed(result)}
    line |= differences(ours, theirs, margins)
    line["equal"] = line["official"] == line["ours"] and line["beyond_rounding"] == 0
    line["official_seconds"] = round(official_seconds, 1)
    line["ours_seconds"] = round(time.monotonic() - began, 1)
    return line


def run_official(
    checkpoint: Path, task: Path, kind: str, options: argparse.Namespace, scratch: Path
) -> tuple[list[str], Json]:
    """The scores as the official pipeline prints them, and the predictions of that pipeline."""
    name = NAMES.get(kind) or ("wug_past" if "past" in task.name else "wug_adj")
    output = scratch / "official"
    module = "reading" if kind == "reading" else "sentence_zero_shot"
    data = task / "reading_data.csv" if kind == "reading" else task
    command = [str(options.python), "-m", f"evaluation_pipeline.{module}.run"]
    command += ["--model_path_or_name", str(checkpoint.resolve()), "--backend", "causal"]
    command += ["--data_path", str(data.resolve()), "--output_dir", str(output)]
    if kind != "reading":
        command += ["--task", name, "--save_predictions"]
    threads = {"OMP_NUM_THREADS": str(options.threads)}
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        command,
        cwd=options.pipeline,
        env=os.environ | threads | offline,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    where = output / checkpoint.stem / "main" / "zero_shot" / "causal"
    where = where / "reading" if kind == "reading" else where / name / task.stem
    predictions = json.loads((where / "predictions.json").read_text())
    if kind == "reading":
        lines = (where / "report.txt").read_text().splitlines()
        return sorted(line.strip() for line in lines), predictions
    lines = (where / "best_temperature_report.txt").read_text().splitlines()
    return _scores_of_report(lines), predictions


def _scores_of_report(lines: list[str]) -> list[str]:
    """The lines `subset: 12.34` of the report, one for each subset, and the average."""
    begin = next(number for number, line in enumerate(lines) if line.startswith("### UID"))
    found = []
    for line in lines[begin + 1 :]:
        if not line:
            break
        found.append(line)
    average = next(i for i, line in enumerate(lines) if line.startswith("### AVERAGE"))
    return [*sorted(found), f"average: {lines[average + 1]}"]


def run_ours(
    checkpoint: Path, task: Path, threads: int
) -> tuple[EvaluationResult, Json, dict[str, float]]:
    """Our result, our predictions, and for each item the margin of the best candidate in nats."""
    import torch

    torch.set_num_threads(threads)
    model, tokenizer = load_checkpoint(checkpoint)
    evaluation, prepared = evaluated(model, tokenizer, task)
    summary = evaluation.finish()
    margins: dict[str, float] = {}
    if isinstance(prepared.contents, Choices):
        margins = prepared.contents.margins(evaluation.sums)
    return summary.result, summary.predictions, margins


def printed(result: EvaluationResult) -> list[str]:
    """Our scores in the format of the official report."""
    if result.kind == "reading":
        titles = {"eye_tracking": "EYE TRACKING", "self_paced_reading": "SELF-PACED READING"}
        return sorted(
            f"{titles[each.name]} SCORE: {100 * each.score:.2f}" for each in result.paradigms
        )
    factor = 1.0 if result.metric == "spearman" else 100.0
    lines = [f"{each.name}: {factor * each.score:.2f}" for each in result.paradigms]
    if result.metric == "spearman":
        lines = [f"avg: {result.score:.2f}"]
    if result.kind == "entity_tracking":
        for split in ("regular", "ambiref", "move_contents"):
            own = [each.score for each in result.paradigms if each.name.startswith(split)]
            lines += [f"{split}: {100 * sum(own) / len(own):.2f}"] if own else []
    return [*sorted(lines), f"average: {factor * result.score:.2f}"]


def differences(ours: Json, theirs: Json, margins: dict[str, float]) -> Json:
    """The number of differing predictions, and the largest difference of two numbers.

    Only numbers in the same field of the same prediction are compared. `beyond_rounding` is the
    number of differences that rounding cannot explain.
    """
    different = beyond = 0
    largest = 0.0
    for subset in sorted({*ours, *theirs}):
        left = ours.get(subset, {"predictions": []})["predictions"]
        right = theirs.get(subset, {"predictions": []})["predictions"]
        if [each["id"] for each in left] != [each["id"] for each in right]:
            return {"different": max(len(left), len(right)), "beyond_rounding": 1}
        for mine, other in zip(left, right, strict=True):
            for field in mine.keys() & other.keys() - {"id"}:
                if isinstance(mine[field], float) and isinstance(other[field], float):
                    largest = max(largest, abs(mine[field] - other[field]))
                elif mine[field] != other[field] and not _both_missing(mine[field], other[field]):
                    different += 1
                    beyond += margins.get(mine["id"], 1.0) > ROUNDING
    return {
        "different": different,
        "beyond_rounding": beyond,
        "largest_difference": float(f"{largest:.2g}"),
    }


def _both_missing(ours: object, theirs: object) -> bool:
    return ours is None and isinstance(theirs, float) and theirs != theirs


if __name__ == "__main__":
    sys.exit(main())
