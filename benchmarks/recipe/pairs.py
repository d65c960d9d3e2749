"""Scores the models of the study on minimal pairs such as BLiMP."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.recipe.conditions import Entry
from core.process.program import python_command
from core.storage.rundir import RunDir

Scores = dict[str, Any]  # values: a number, or scores by phenomenon


def score(entry: Entry, pairs: Path, *, work: Path, threads: int = 1) -> Scores | None:
    """The scores in percent of the last checkpoint of a run; None if its folder is gone.

    A process of its own computes them, so that no memory of one model remains for the next.

    Args:
        entry: A finished run.
        pairs: Folder of a task of minimal pairs, such as BLiMP.
        work: The work folder of the study.
        threads: Number of threads on a CPU.

    Raises:
        subprocess.CalledProcessError: If the process failed. Its errors are on standard error.
    """
    checkpoint = RunDir(work / "runs" / entry.name).checkpoint("last")
    if not checkpoint.is_dir():
        return None
    command = python_command("benchmarks.recipe.pairs")
    command += [str(checkpoint), str(pairs), "--threads", str(threads)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    scores: Scores = json.loads(done.stdout)
    return scores


def evaluate(checkpoint: Path, pairs: Path, *, threads: int) -> Scores:
    """Scores a checkpoint as the service does, on a GPU if there is one."""
    import torch

    from benchmarks.evaluated import evaluated
    from core.checkpoints.generate import load_checkpoint

    torch.set_num_threads(threads)
    model, tokenizer = load_checkpoint(checkpoint)
    if torch.cuda.is_available():
        model = model.to("cuda")
    evaluation, _ = evaluated(model, tokenizer, pairs)
    result = evaluation.finish().result
    phenomena = {
        group.name: round(100.0 * group.score, 2)
        for group in result.groups
        if group.by == "linguistics_term"
    }
    return {
        "blimp": round(100.0 * result.score, 3),
        "blimp_pairs": result.pairs,
        "blimp_by_phenomenon": phenomena,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print(json.dumps(evaluate(options.checkpoint, options.pairs, threads=options.threads)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
