"""Fault injection: `python -m chaos COMMAND`. Every command prints a report as JSON.

`rounds` runs jobs under random faults, `latency` measures how fast the service reacts, `saves`
crashes a run while it saves, `season` kills workers during a study, evaluations and a submission,
and `soak` checks that memory does not grow.
"""

import argparse
import json
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from chaos.rounds import as_line, run_round
from chaos.workload import SEEDS, golden
from core.archs import ARCHITECTURES

JOBS_PER_SEED = 20
SMALL = {"jobs": 6, "seeds": 2}
"""The size of `--rounds small`, for CI: jobs and seeds. It takes about two minutes."""

Line = dict[str, object]


def main() -> int:
    """Runs a command; returns 1 if there are violations."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    rounds = commands.add_parser("rounds", help="jobs under random faults")
    rounds.add_argument("--rounds", default="small", help="total number of jobs, or `small`")
    rounds.add_argument("--jobs-a-seed", type=int, default=JOBS_PER_SEED, help="jobs per round")
    rounds.add_argument("--first-seed", type=int, default=0)
    rounds.add_argument("--mode", choices=("embedded", "polling", "both"), default="embedded")
    rounds.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    rounds.add_argument("--report", type=Path, default=Path("runs/chaos/chaos-report.jsonl"))
    rounds.add_argument("--fresh", action="store_true", help="overwrite the previous report")
    latency = commands.add_parser("latency", help="how long cancel, stop and recovery take")
    latency.add_argument("--cancels", type=int, default=50, help="number of cancels")
    latency.add_argument(
        "--others", type=int, default=20, help="number of repetitions of the other measurements"
    )
    saves = commands.add_parser("saves", help="a crash at each file operation of a save")
    saves.add_argument(
        "--points", type=int, default=0, help="maximum crashes per architecture; 0: all"
    )
    saves.add_argument("--architecture", choices=tuple(ARCHITECTURES), default=None)
    season = commands.add_parser("season", help="kills during a study and a submission")
    season.add_argument("--kills", type=int, default=10, help="number of kills")
    season.add_argument("--seed", type=int, default=0)
    soak = commands.add_parser("soak", help="jobs and readers; fails if memory grows")
    soak.add_argument("--minutes", type=float, default=30.0)
    options = parser.parse_args()
    # SIGTERM acts as Ctrl-C, so that each command ends the services that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if options.command == "rounds":
        return _rounds(options)
    if options.command == "latency":
        from chaos.latency import measure

        return measure(cancels=options.cancels, others=options.others)
    if options.command == "saves":
        from chaos.saves import crash_saves

        names = [options.architecture] if options.architecture else list(ARCHITECTURES)
        return crash_saves(names, points=options.points)
    if options.command == "season":
        from chaos.season import run_season

        return run_season(kills=options.kills, seed=options.seed)
    from chaos.soak import soak as run_soak

    return run_soak(minutes=options.minutes)


def _rounds(options: argparse.Namespace) -> int:
    """Runs each round that is not in the report yet, and appends its line."""
    report: Path = options.report
    report.parent.mkdir(parents=True, exist_ok=True)
    if options.fresh:
        report.unlink(missing_ok=True)
    plan = _plan(options)
    lines = _read(report)
    lines = [line for line in lines if line.get("store", "sqlite") == options.store]
    done = {(line["seed"], line["mode"], line["planned"]) for line in lines}
    goldens = report.parent / "undisturbed"
    if any(step not in done for step in plan):
        for number in range(len(ARCHITECTURES) * SEEDS):
            golden(number, folder=goldens)
    for seed, mode, planned in plan:
        if (seed, mode, planned) in done:
            continue
        result = run_round(seed, num_jobs=planned, mode=mode, goldens=goldens, store=options.store)
        line = as_line(result) | {"planned": planned}
        lines.append(line)
        with report.open("a") as file:
            file.write(json.dumps(line) + "\n")
        _say(
            f"seed {seed} {mode}: {result.jobs} jobs, {sum(result.faults.values())} faults, "
            f"{len(result.violations)} violations, {result.seconds:.0f} s"
        )
        for violation in result.violations:
            _say(f"  {violation}")
    wanted = set(plan)
    chosen = [line for line in lines if (line["seed"], line["mode"], line["planned"]) in wanted]
    summary = _summary(chosen)
    sys.stdout.write(json.dumps(summary, indent=2) + "\n")
    return 1 if summary["violations"] else 0


def _plan(options: argparse.Namespace) -> list[tuple[int, str, int]]:
    """Seed, mode and number of jobs of each round."""
    if options.rounds == "small":
        total, each = SMALL["jobs"], SMALL["jobs"] // SMALL["seeds"]
    else:
        total, each = int(options.rounds), options.jobs_a_seed
    modes = ("embedded", "polling") if options.mode == "both" else (options.mode,)
    plan = []
    for index, begin in enumerate(range(0, total, each)):
        seed = options.first_seed + index
        plan.append((seed, modes[index % len(modes)], min(each, total - begin)))
    return plan


def _read(report: Path) -> list[Line]:
    if not report.exists():
        return []
    return [json.loads(line) for line in report.read_text().splitlines()]


def _summary(lines: list[Line]) -> Line:
    faults: Counter[str] = Counter()
    for line in lines:
        faults.update(line["faults"])  # type: ignore[call-overload]  # read from JSON

    def total(name: str) -> int:
        return sum(int(str(line[name])) for line in lines)

    violations = [text for line in lines for text in line["violations"]]  # type: ignore[attr-defined]
    return {
        "rounds": len(lines),
        "seeds": sorted({int(str(line["seed"])) for line in lines}),
        "modes": sorted({str(line["mode"]) for line in lines}),
        "jobs": total("jobs"),
        "interrupted_jobs": total("interrupted_jobs"),
        "attempts": total("attempts"),
        "faults": sum(faults.values()),
        "kinds": len(faults),
        "faults_by_kind": dict(sorted(faults.items())),
        "looks_for_two_trainers": total("looks"),
        "settle_seconds_max": max(
            (float(str(line["settle_seconds"])) for line in lines), default=0
        ),
        "seconds": round(sum(float(str(line["seconds"])) for line in lines), 1),
        "unavailable": sorted({text for line in lines for text in line["unavailable"]}),  # type: ignore[attr-defined]
        "violations": violations,
    }


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


if __name__ == "__main__":
    sys.exit(main())
