"""The jobs of a round: tiny models of all architectures, and their undisturbed runs."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.archs import ARCHITECTURES
from core.process.program import python_command
from core.sample import write_sample
from core.spec.job import JobSpec
from core.storage.file_hashes import hash_file
from core.storage.rundir import RunDir

ROOT = Path(__file__).resolve().parents[1]
CORPUS_BYTES = 150_000
STEPS = 120
SEEDS = 3
"""Number of training seeds; each seed has its own settings. With three architectures, nine
undisturbed runs are enough for any number of rounds."""
RECIPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "muon": {
        "optimizer": "muon",
        "ema_decay": 0.95,
        "shuffle": "documents",
    },
    "regularized": {"z_loss_coefficient": 1e-4, "ema_decay": 0.9, "early_stopping_patience": 100},
}
"""Training settings by name. They add state to a resume point or change the order of the texts."""
TRAINED = (
    "train/loss",
    "train/grad_norm",
    "train/learning_rate",
    "validation/loss",
    "validation/ema_loss",
)
"""Metrics that must equal the metrics of the undisturbed run to the bit. Other metrics depend on
time and memory."""
FINAL = ("last", "ema")
"""Names of the checkpoints that the checker compares by their weights. Every finished run has
`last`; it has `ema` only if its settings ask for it."""
GOLDEN_SECONDS = 300.0

Spec = dict[str, Any]  # any JSON value
Curves = dict[str, dict[int, float | None]]


@dataclass(frozen=True)
class Golden:
    """The result of an undisturbed run."""

    curves: Curves
    weights: dict[str, str]
    """SHA-256 of `model.safetensors` of the checkpoints `last` and, if there is one, `ema`."""


def spec_of(number: int) -> Spec:
    """The spec of job `number`.

    Consecutive numbers cycle through the architectures; after each cycle the next seed follows,
    with its settings.
    """
    architecture = list(ARCHITECTURES)[number % len(ARCHITECTURES)]
    model: Spec = {"architecture": architecture, "hidden_size": 32, "num_hidden_layers": 2}
    if architecture == "llama4":
        model["num_local_experts"] = 4
    seed = number // len(ARCHITECTURES) % SEEDS
    recipe = list(RECIPES)[seed % len(RECIPES)]
    return {
        "name": f"{architecture} {recipe} under faults",
        "data": {"dataset": "sample", "validation": "sample_dev"},
        "tokenizer": {"vocab_size": 512},
        "model": model,
        "training": {
            "seq_length": 32,
            "batch_size": 8,
            "epochs": 50,
            "max_steps": STEPS,
            "learning_rate": 3e-3,
            "logging_steps": 1,
            "eval_steps": 30,
            "save_steps": 15,
            "eval_tokens": 2000,
            "num_threads": 1,
            "precision": "fp32",
            "device": "cpu",
            "seed": seed,
            "sample_prompts": [],
            **RECIPES[recipe],
        },
    }


def write_corpus(data_dir: Path) -> None:
    """Writes the sample corpus if it does not exist."""
    if not data_dir.exists():
        write_sample(data_dir, target_bytes=CORPUS_BYTES)


def golden(number: int, *, folder: Path) -> Golden:
    """The undisturbed run of a spec, trained once by `python -m core.run` and kept in `folder`."""
    spec = spec_of(number)
    training, model = spec["training"], spec["model"]
    recipe = list(RECIPES)[training["seed"] % len(RECIPES)]
    run = folder / f"{model['architecture']}-{recipe}-{training['seed']}"
    kept = run / "golden.json"
    if not kept.exists():
        run.mkdir(parents=True, exist_ok=True)
        resolved = JobSpec.model_validate(spec).resolve()
        (run / "spec.json").write_text(resolved.model_dump_json())
        command = python_command("core.run", str(run))
        command += ["--data-dir", str(folder / "data"), "--cache-dir", str(folder / "cache")]
        write_corpus(folder / "data")
        with (run / "run.log").open("ab") as log:
            subprocess.run(
                command,
                cwd=ROOT,
                check=True,
                stdout=log,
                stderr=log,
                timeout=GOLDEN_SECONDS,
            )
        files = {name: RunDir(run).checkpoint(name) / "model.safetensors" for name in FINAL}
        weights = {name: hash_file(file) for name, file in files.items() if file.exists()}
        content = {"curves": journal_curves(run / "events.jsonl"), "weights": weights}
        kept.write_text(json.dumps(content))
    content = json.loads(kept.read_text())
    curves = {
        name: {int(step): value for step, value in curve.items()}
        for name, curve in content["curves"].items()
    }
    return Golden(curves, content["weights"])


def journal_curves(journal: Path) -> Curves:
    """The metrics of `TRAINED` in a journal, by name and step. A repeated step has the later value.

    The function parses the lines itself, so that it does not repeat an error of the service.
    """
    curves: Curves = {name: {} for name in TRAINED}
    for line in journal.read_bytes().splitlines():
        event = json.loads(line)
        if event["type"] == "metrics":
            for name, value in event["data"]["values"].items():
                if name in curves:
                    curves[name][event["data"]["step"]] = value
    return curves
