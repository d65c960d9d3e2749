"""What the service costs a run: the same job by `babylm train` and through the service, in turn.

`service/overhead`: tokens a second between the first and the last step, by the run's own times, so
that start, validation and saves count as they fall between them. The service is the whole of it:
API, Celery workers, Redis, and a client that follows the job as a browser does. Both ways use every
core. BABYLM_BENCH_ROUNDS (3) pairs are taken, the ratio is the median of the pairs' own.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.report import figure, note, wanted
from chaos.client import Client as Patient
from chaos.processes import Service
from chaos.workload import ROOT, write_corpus
from cli.client import Client
from cli.sse import follow_events
from core.journal import read_journal
from core.rundir import RunDir
from core.spec import JobSpec

NAMES = ("service/overhead",)
STEPS = 600
SPEC: dict[str, Any] = {
    "preset": "sample",
    "tokenizer": {"vocab_size": 512},
    "training": {"max_steps": STEPS, "epochs": 1000, "save_steps": 200, "eval_steps": 200},
}
"""Steps of some 60 ms, logged one by one: a run of a real model has fewer events a second."""


def run(only: str | None = None) -> None:
    for name in wanted(NAMES, only):
        _measure(name)


def _measure(name: str) -> None:
    rounds = int(os.environ.get("BABYLM_BENCH_ROUNDS", "3"))
    folder = Path(tempfile.mkdtemp(prefix="overhead-"))
    write_corpus(folder / "data")
    threads = {"OMP_NUM_THREADS": str(os.cpu_count())}
    alone, served = [], []
    try:
        for number in range(rounds):
            alone.append(_alone(folder, f"alone-{number}", threads))
            served.append(_served(folder / f"service-{number}", folder / "data", threads))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    ratio = statistics.median(mine / other for mine, other in zip(served, alone, strict=True))
    figure(
        name,
        "tokens_per_second",
        statistics.median(served),
        "token/s",
        baseline="babylm train",
        ratio=ratio,
    )
    note(name, f"alone {[round(x) for x in alone]}, served {[round(x) for x in served]}")


def _alone(folder: Path, run_name: str, threads: dict[str, str]) -> float:
    spec = folder / "spec.json"
    spec.write_text(json.dumps(SPEC))
    output = folder / run_name
    command = [sys.executable, "-m", "cli.main", "train", str(spec), "--output", str(output)]
    command += [
        "--data-dir",
        str(folder / "data"),
        "--cache-dir",
        str(folder / f"{run_name}-cache"),
    ]
    environment = os.environ | threads | {"PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return _rate(RunDir(output))


def _served(folder: Path, data: Path, threads: dict[str, str]) -> float:
    shutil.copytree(data, folder / "data")
    service = Service(folder, mode="embedded", workers=1, settings=threads)
    service.start()
    try:
        patient = Patient(service.url)  # the service is still starting
        job_id = patient.submit("overhead", SPEC)
        with Client(service.url) as client:
            for _ in follow_events(client, job_id):
                pass
        status = patient.job(job_id)["status"]
        patient.close()
        assert status == "succeeded", f"job {job_id} {status}"
        return _rate(RunDir(service.runs / "jobs" / job_id))
    finally:
        service.stop()


def _rate(run_dir: RunDir) -> float:
    """Tokens a second between the first and the last step."""
    training = JobSpec.model_validate(SPEC).resolve().training
    times = [
        event.time
        for event, _ in read_journal(run_dir.journal, limit_bytes=run_dir.journal.stat().st_size)
        if event.type == "metrics" and "train/loss" in event.data["values"]
    ]
    tokens = (STEPS - 1) * training.batch_size * training.seq_length
    return tokens / (times[-1] - times[0]).total_seconds()
