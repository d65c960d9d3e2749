"""Runs the study: `python -m benchmarks.recipe --text PATH --work DIR --results FILE`.

The command skips runs that have a line in the results file, and continues an interrupted run from
its newest checkpoint. So you can repeat the same command until the table is complete. With
`--pairs`, the command also scores the models on minimal pairs, including the models of finished
runs. `--report` prints the table of the finished runs.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.recipe.conditions import ARCHITECTURES, CONDITIONS, SEEDS, SHAPES, Entry, table
from benchmarks.recipe.pairs import score
from benchmarks.recipe.runs import Figures, RunFailed, figures, start, stop
from benchmarks.recipe.summary import source_summary, summary
from benchmarks.recipe.text import prepare_text
from core.storage.rundir import publish_file

POLL_SECONDS = 0.5
TEXT_VARIABLE = "BABYLM_RECIPE_TEXT"


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    done = _read(options.results)
    if options.report:
        print(summary(done))
        if by_source := source_summary(done):
            print(f"\nBits per byte by source:\n\n{by_source}")
        return 0
    if options.text is None or not options.text.exists():
        print(
            f"recipe: skipped, because the text is missing (path: {options.text}). Name a folder "
            f"with train_10M and dev, or a tar archive of them, with --text or {TEXT_VARIABLE}",
            file=sys.stderr,
        )
        return 0
    # SIGTERM acts as Ctrl-C: the runs save a checkpoint and end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    shape = SHAPES[options.shape]
    options.work.mkdir(parents=True, exist_ok=True)
    data = prepare_text(options.text, options.work, words=shape.words)
    entries = list(
        table(
            shape,
            architectures=options.architectures,
            conditions=options.conditions,
            seeds=options.seeds,
        )
    )
    names = {_name(run) for run in done}
    waiting = [entry for entry in entries if entry.name not in names]
    deadline = time.monotonic() + options.budget_seconds
    failed = _run(waiting, data, options, deadline)
    if options.pairs is not None:
        _score(entries, options, deadline)
    return failed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipe", description=__doc__)
    text = os.environ.get(TEXT_VARIABLE)
    parser.add_argument("--text", type=Path, default=Path(text) if text else None)
    parser.add_argument("--work", type=Path, default=Path("runs/recipe"))
    parser.add_argument("--results", type=Path, default=Path("runs/recipe/results.jsonl"))
    parser.add_argument("--shape", choices=SHAPES, default="cpu")
    parser.add_argument("--architectures", nargs="+", choices=ARCHITECTURES, default=["olmo2"])
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--pairs", type=Path, help="folder of minimal pairs, such as BLiMP")
    parser.add_argument("--parallel", type=int, default=1, help="runs at a time")
    parser.add_argument("--budget-seconds", type=float, default=float("inf"))
    parser.add_argument("--report", action="store_true", help="print the table of the results")
    return parser


def _run(waiting: list[Entry], data: Path, options: argparse.Namespace, deadline: float) -> int:
    """Runs the entries, `parallel` at a time, until all are done or the budget is spent."""
    running: list[tuple[Entry, subprocess.Popen[bytes]]] = []
    failed = 0
    try:
        while (waiting or running) and time.monotonic() < deadline:
            while waiting and len(running) < options.parallel:
                entry = waiting.pop(0)
                running.append((entry, start(entry, data=data, work=options.work)))
                print(f"recipe: {entry.name} started", file=sys.stderr, flush=True)
            for entry, process in list(running):
                if process.poll() is not None:
                    running.remove((entry, process))
                    failed += not _record(entry, options)
            time.sleep(POLL_SECONDS)
    finally:
        for _, process in running:
            stop(process)
    if waiting or running:
        print(f"recipe: {len(waiting) + len(running)} runs are left", file=sys.stderr)
    return 1 if failed else 0


def _record(entry: Entry, options: argparse.Namespace) -> bool:
    try:
        measured = figures(entry, work=options.work)
    except RunFailed as error:
        print(f"recipe: failed: {error}", file=sys.stderr, flush=True)
        return False
    options.results.parent.mkdir(parents=True, exist_ok=True)
    with options.results.open("a") as file:
        file.write(json.dumps(measured) + "\n")
    print(f"recipe: {entry.name} {measured['bits_per_byte']:.4f}", file=sys.stderr, flush=True)
    return True


def _score(entries: Iterable[Entry], options: argparse.Namespace, deadline: float) -> None:
    """Adds the scores of minimal pairs to the lines without scores until the budget is spent."""
    by_name = {entry.name: entry for entry in entries}
    runs = _read(options.results)
    for run in runs:
        entry = by_name.get(_name(run))
        if entry is None or run.get("blimp") is not None:
            continue
        if time.monotonic() >= deadline:
            print("recipe: no time is left to score the other runs", file=sys.stderr)
            return
        scores = score(entry, options.pairs, work=options.work)
        if scores is None:
            continue
        run |= scores
        lines = "".join(json.dumps(each) + "\n" for each in runs)
        publish_file(options.results, lines.encode())
        print(f"recipe: {entry.name} BLiMP {run['blimp']:.2f}", file=sys.stderr, flush=True)


def _read(path: Path) -> list[Figures]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def _name(run: Figures) -> str:
    return f"{run['shape']}-{run['architecture']}-{run['condition']}-{run['seed']}"


if __name__ == "__main__":
    sys.exit(main())
