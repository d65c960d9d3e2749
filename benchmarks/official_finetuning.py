"""Compares fine-tuning by a live worker with the official script, over several seeds.

    python -m benchmarks.official_finetuning --pipeline FOLDER --python PYTHON

`--pipeline` and `--python` have the same meaning as in `benchmarks.official`. The command starts
the service and trains a small model of each of ARCHITECTURES on the sample text. For each seed it
fine-tunes the checkpoint on a generated task, once as a job of the service and once with the
official script, with equal settings. It prints a JSON line for each architecture with the mean and
standard deviation of both accuracies. It exits with 1 if the means differ by more than twice the
pooled standard deviation over the seeds.

The official script cannot load Llama 4 with the pinned transformers 4.51.3.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from chaos.client import Client
from chaos.processes import Service
from chaos.workload import write_corpus
from core.storage.rundir import RunDir
from tests.official_files import write_classification_files

Json = dict[str, Any]
ARCHITECTURES = ("olmo2", "gemma2")
SEEDS = (42, 43, 44)
TASK = "rte"
ITEMS = 400
"""Number of training examples; the validation file has half as many."""
WITH_WRONG_LABELS = 3
"""Every WITH_WRONG_LABELS-th example has the other label. Without such examples, both ways classify
every example correctly."""
LEARNING_RATE = 3e-5
"""The default of the official script."""
WAIT_SECONDS = 1800.0
SPEC: Json = {
    "data": {"dataset": "sample", "validation": "sample_dev"},
    "tokenizer": {"vocab_size": 512},
    "training": {"seq_length": 64, "batch_size": 32, "max_steps": 200, "sample_prompts": []},
}
SHAPE: Json = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", type=Path, required=True)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--architectures", nargs="+", default=ARCHITECTURES)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    options = parser.parse_args()
    if not (options.pipeline / "evaluation_pipeline").is_dir():
        print(f"skipped, because {options.pipeline} has no folder evaluation_pipeline")
        return 0
    # SIGTERM acts as Ctrl-C, so that the service is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="finetuning-") as scratch:
        folder = Path(scratch)
        write_corpus(folder / "data")
        files = folder / "data" / "evaluations" / "glue_filtered"
        write_classification_files(files, items=ITEMS)
        _change_labels(files)
        service = Service(folder, mode="embedded", workers=1)
        service.start()
        try:
            lines = [compare(each, service, files, options) for each in options.architectures]
        finally:
            service.stop()
    return 0 if all(line["within_two_deviations"] for line in lines) else 1


def _change_labels(files: Path) -> None:
    for path in files.glob(f"{TASK}.*.jsonl"):
        examples = [json.loads(line) for line in path.read_text().splitlines()]
        for example in examples[::WITH_WRONG_LABELS]:
            example["label"] = 1 - example["label"]
        path.write_text("".join(json.dumps(example) + "\n" for example in examples))


def compare(architecture: str, service: Service, files: Path, options: argparse.Namespace) -> Json:
    """Trains a model, fine-tunes it in both ways with all seeds, and prints the accuracies."""
    client = Client(service.url)
    spec = SPEC | {"model": {"architecture": architecture, **SHAPE}}
    job_id = client.submit(f"train-{architecture}", spec)
    _wait(client, job_id)
    checkpoint = RunDir(service.runs / "jobs" / job_id).checkpoint("last")
    ours, theirs = [], []
    for seed in options.seeds:
        ours.append(_by_service(client, job_id, seed))
        theirs.append(_by_script(checkpoint, files, seed, options))
        print(f"{architecture}, seed {seed}: {ours[-1]:.4f} {theirs[-1]:.4f}", file=sys.stderr)
    client.close()
    difference = mean(ours) - mean(theirs)
    deviation = ((stdev(ours) ** 2 + stdev(theirs) ** 2) / 2) ** 0.5
    line = {
        "architecture": architecture,
        "seeds": len(ours),
        "ours": round(mean(ours), 4),
        "ours_deviation": round(stdev(ours), 4),
        "official": round(mean(theirs), 4),
        "official_deviation": round(stdev(theirs), 4),
        "difference": round(difference, 4),
        "deviation": round(deviation, 4),
        "within_two_deviations": abs(difference) <= 2 * deviation,
    }
    print(json.dumps(line), flush=True)
    return line


def _by_service(client: Client, job_id: str, seed: int) -> float:
    finetune = {"job": job_id, "tasks": [TASK], "learning_rate": LEARNING_RATE, "seed": seed}
    made = client.submit(f"finetune-{job_id}-{seed}", {"task": "finetune", "finetune": finetune})
    _wait(client, made)
    [scores] = [
        each for each in client.get(f"/v1/jobs/{made}/evaluations")["data"] if each["task"] == TASK
    ]
    return float(scores["measures"]["accuracy"])


def _by_script(checkpoint: Path, files: Path, seed: int, options: argparse.Namespace) -> float:
    valid = str(files / f"{TASK}.valid.jsonl")
    with tempfile.TemporaryDirectory() as results:
        command = [str(options.python), "-m", "evaluation_pipeline.finetune.run"]
        command += ["--model_name_or_path", str(checkpoint), "--task", TASK, "--num_labels", "2"]
        command += ["--train_data", str(files / f"{TASK}.train.jsonl"), "--valid_data", valid]
        command += ["--predict_data", valid, "--batch_size", "32", "--sequence_length", "512"]
        command += ["--learning_rate", str(LEARNING_RATE), "--num_epochs", "10"]
        command += ["--metrics", "accuracy", "--metric_for_valid", "accuracy"]
        command += ["--take_final", "--padding_side", "left", "--seed", str(seed)]
        command += ["--results_dir", results]
        ended = subprocess.run(command, cwd=options.pipeline, capture_output=True, text=True)
        if ended.returncode:
            raise RuntimeError(f"the official script failed: {ended.stderr[-2000:]}")
        [file] = Path(results).rglob("results.txt")
        name, _, value = file.read_text().strip().partition(": ")
    assert name == "accuracy"
    return float(value)


def _wait(client: Client, job_id: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while (job := client.job(job_id))["status"] != "succeeded":
        if job["status"] in ("failed", "cancelled") or time.monotonic() > deadline:
            raise RuntimeError(f"job {job_id} is {job['status']}: {job['error']}")
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
