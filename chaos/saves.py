"""Crashes a run before and during each file operation of its saves.

The independent tool ckpt-chaos runs the training command once and records each creation, renaming
and removal of a file. For each of these operations the tool runs the command again, kills the
process at the operation, resumes the run and compares the final weights. A run also fails the test
if it resumes from an older resume point than the newest complete one.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from chaos.workload import ROOT, Spec, spec_of, write_corpus
from core.archs import ARCHITECTURES
from core.process.program import python_command
from core.spec.job import JobSpec

STEPS, SAVE_STEPS = 4, 2
"""Number of steps of the run, and number of steps between two saves. The run has two resume points
and keeps both, because the tool would count a removed resume point as lost."""
FAIL_ON = "HARD_FAIL,SILENT_DIVERGENCE,LOST_WORK,CONTROL_FAIL"
POINT_SECONDS = 180
COUNT = re.compile(r"\b(PASS|[A-Z]+_[A-Z]+): (\d+)\b")
"""Matches one count in the last line of the tool's table, `PASS: 21   LOST_WORK: 1`."""


def crash_saves(architectures: Sequence[str], *, points: int) -> int:
    """Crashes the saves of each architecture and prints JSON lines; returns 1 if a run failed."""
    status = 0
    with tempfile.TemporaryDirectory(prefix="saves-") as name:
        folder = Path(name)
        write_corpus(folder / "data")
        for architecture in architectures:
            status |= _crash(architecture, folder, points)
    return status


def _crash(architecture: str, folder: Path, points: int) -> int:
    spec = folder / f"{architecture}.json"
    spec.write_text(JobSpec.model_validate(_spec(architecture)).resolve().model_dump_json())
    program = python_command("chaos.saved_run")
    places = [str(spec), str(folder / "data"), str(folder / "cache")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    # Fills the cache, so that crashes happen in training and not in the stages before it.
    warm = [*program, str(folder / f"warm-{architecture}"), *places]
    subprocess.run(warm, cwd=ROOT, env=environment, check=True, capture_output=True)
    work = folder / f"work-{architecture}"
    command = [
        *python_command("ckpt_chaos", "run"),
        *("--work", str(work), "--modes", "before,torn", "--fail-on", FAIL_ON),
        *("--checkpoint-glob", "{out}/resume/step-*"),
        *("--step-regex", r"resumed at step (\d+)"),
        *("--result-file", "{out}/checkpoints/last/model.safetensors"),
        *("--timeout", str(POINT_SECONDS), "--jobs", "2"),
        *(("--max-points", str(points)) if points else ()),
        *("--", *program, "{out}", *places),
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )
    verdicts = {name: int(count) for name, count in COUNT.findall(done.stdout)}
    line = {
        "architecture": architecture,
        "points": sum(verdicts.values()) - 1,  # without the undisturbed control run
        "crashed": sum(json.loads(path.read_text())["crashed"] for path in _results(work)),
        "verdicts": verdicts,
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
    if done.returncode or set(verdicts) != {"PASS"}:
        sys.stderr.write(done.stdout + done.stderr)
        return 1
    return 0


def _results(work: Path) -> list[Path]:
    """The result file of each crash."""
    return sorted(work.rglob("result.json"))


def _spec(architecture: str) -> Spec:
    spec = spec_of(list(ARCHITECTURES).index(architecture))
    spec["training"] |= {"max_steps": STEPS, "save_steps": SAVE_STEPS, "eval_steps": SAVE_STEPS}
    return spec
