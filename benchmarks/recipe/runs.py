"""One run of the study: starts the pipeline as a process and reads the figures in its journal."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.recipe.conditions import Entry
from core.events.journal import read_journal
from core.process.program import python_command
from core.spec.job import JobSpec

Figures = dict[str, Any]
STOP_SECONDS = 60.0


class RunFailed(Exception):
    """The run ended with an error, which its log explains."""


def start(entry: Entry, *, data: Path, work: Path) -> "subprocess.Popen[bytes]":
    """Starts the run, or continues it from its newest checkpoint."""
    folder = work / "runs" / entry.name
    spec = folder / "spec.json"
    content = JobSpec.model_validate(entry.spec()).resolve().model_dump_json(indent=2)
    if spec.exists() and spec.read_text() != content:
        # The folder has another spec: conditions.py or the defaults of specs have changed since.
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    spec.write_text(content)
    command = python_command("core.run", str(folder))
    command += ["--data-dir", str(data), "--cache-dir", str(work / "cache")]
    with (folder / "run.log").open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(os.environ)
        )


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Asks the run to save a checkpoint and end."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def figures(entry: Entry, *, work: Path) -> Figures:
    """The figures of a finished run.

    Raises:
        RunFailed: If the run did not finish.
    """
    folder = work / "runs" / entry.name
    events = [event for event, _ in read_journal(folder / "events.jsonl")]
    errors = [event.data["message"] for event in events if event.type == "error"]
    stages = {
        event.data["stage"]: event.data["seconds"]
        for event in events
        if event.type == "stage" and event.data["state"] == "finished"
    }
    if "export" not in stages:
        raise RunFailed(f"{entry.name}: {errors[-1] if errors else 'see run.log'}")
    measured = [event.data for event in events if event.type == "metrics"]
    validated = [point for point in measured if "validation/loss" in point["values"]]
    curve = [
        [point["words_seen"], *(point["values"][name] for name in CURVE)] for point in validated
    ]
    averaged = _curve(measured, "validation/ema_bits_per_byte")
    spec = JobSpec.model_validate_json((folder / "spec.json").read_bytes())
    vocab_size = spec.tokenizer.vocab_size
    published = validated[-1]["values"]
    # With early stopping, the run publishes as `last` the weights with the lowest validation loss.
    if spec.training.early_stopping_patience is not None:
        published = min((point["values"] for point in validated), key=lambda each: each[CURVE[0]])
    return {
        "shape": entry.shape.name,
        "architecture": entry.architecture,
        "condition": entry.condition,
        "seed": entry.seed,
        "parameters": spec.model.num_parameters(vocab_size=vocab_size),
        "words_seen": measured[-1]["words_seen"],
        "tokens_seen": measured[-1]["tokens_seen"],
        "steps": measured[-1]["step"],
        "validation_loss": published[CURVE[0]],
        "bits_per_byte": published[CURVE[1]],
        "bits_per_byte_by_source": {
            name.removeprefix(BY_SOURCE): bits
            for name, bits in published.items()
            if name.startswith(BY_SOURCE)
        },
        "ema_bits_per_byte": averaged[-1][1] if averaged else None,
        "curve": curve,
        "ema_curve": averaged,
        "train_seconds": round(stages["train"], 1),
        "device": _device(spec),
        "commit": _commit(),
        "settings": json.loads(json.dumps(entry.spec()["training"])),
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _curve(measured: list[dict[str, Any]], metric: str) -> list[list[float]]:
    """The values of a metric, each after the number of words seen."""
    return [
        [point["words_seen"], point["values"][metric]]
        for point in measured
        if metric in point["values"]
    ]


def _device(spec: JobSpec) -> str:
    """The device of a run on this machine."""
    training = spec.training
    if training.device != "cpu" and shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        found = subprocess.run(query, capture_output=True, text=True, check=False)
        if found.returncode == 0 and found.stdout.strip():
            return found.stdout.splitlines()[0].strip()
    threads = training.num_threads or os.cpu_count() or 1
    return f"CPU, {threads} thread{'s' if threads != 1 else ''}"


def _commit() -> str | None:
    """The short hash of the code; None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


CURVE = ("validation/loss", "validation/bits_per_byte")
BY_SOURCE = f"{CURVE[1]}/"
