"""Times the scoring of minimal pairs with the 10M presets, and compares it with a lower bound.

Two ways of scoring take turns in the order A B B A, each in its own process (`benchmarks.scorer`).
One way is `ours`. If BABYLM_BENCH_PIPELINE and BABYLM_BENCH_PIPELINE_PYTHON name the checkout and
the interpreter of the BabyLM evaluation pipeline, the other way is `official`, the pipeline in its
own environment. Otherwise it is `plain`, which scores whole sentences with the function
`sentence_scores` of this project.

- BABYLM_BENCH_PAIRS: the task folder; by default the pairs of the sample corpus
- BABYLM_BENCH_DATA: a folder with `train_10M`, on which the tokenizer is trained; by default the
  sample corpus, which gives a vocabulary of only 933 entries
- BABYLM_BENCH_STRIDE: uses only every n-th pair of each file (default 1)
- BABYLM_BENCH_ROUNDS: the number of runs of each way (default 2)
- BABYLM_BENCH_THREADS: the number of threads of each run (default 1)

The models are untrained and have the vocabulary size of their preset. The lower bound is the time
of the necessary matrix products alone, at the rate that the same process measures. Each token needs
the matrices of the layers, and each prediction that must be normalized needs the output layer.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import figure, note, wanted
from core.archs import ARCHITECTURES, Architecture
from core.checkpoints.model import build_model, save_config, save_weights
from core.process.program import python_command
from core.sample import write_sample
from core.spec.job import TokenizerSpec
from core.spec.presets import PRESETS
from core.tokenizer.bpe import train_bpe

SCORER = Path(__file__).with_name("scorer.py")
PRESET_NAMES = ("gemma2-10m", "llama4-10m", "olmo2-10m")
NAMES = tuple(f"evaluation/{preset}" for preset in PRESET_NAMES)

Line = dict[str, Any]
"""The output of `benchmarks.scorer`: a JSON object."""


def run(only: str | None) -> None:
    check_pipeline()
    with tempfile.TemporaryDirectory(prefix="babylm-bench-") as scratch:
        folder = Path(scratch)
        sample = write_sample(folder / "data")
        task = thinned(Path(os.environ.get("BABYLM_BENCH_PAIRS") or sample.pairs), folder)
        data = os.environ.get("BABYLM_BENCH_DATA")
        train_tokenizer(Path(data) / "train_10M" if data else sample.train, folder / "tokenizer")
        for name in wanted(NAMES, only):
            compare(name, folder, task)


def check_pipeline() -> None:
    """Ends the program if the official pipeline cannot be loaded, before anything is measured."""
    if pipeline := os.environ.get("BABYLM_BENCH_PIPELINE"):
        python = os.environ["BABYLM_BENCH_PIPELINE_PYTHON"]
        load = "import evaluation_pipeline.sentence_zero_shot.run"
        done = subprocess.run([python, "-c", load], cwd=pipeline, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"the official pipeline at {pipeline} cannot be loaded:\n{done.stderr}")


def compare(name: str, folder: Path, task: Path) -> None:
    preset = name.removeprefix("evaluation/")
    checkpoint = folder / preset
    architecture, vocab_size = write_checkpoint(preset, checkpoint, folder / "tokenizer")
    has_official = bool(os.environ.get("BABYLM_BENCH_PIPELINE"))
    other = "official" if has_official else "plain"
    lines: dict[str, list[Line]] = {"ours": [], other: []}
    for number in range(int(os.environ.get("BABYLM_BENCH_ROUNDS", "2"))):
        for way in ("ours", other) if number % 2 == 0 else (other, "ours"):
            lines[way].append(measure(way, checkpoint, task))
            note(name, f"{way}: {json.dumps(lines[way][-1])}")
    ours, theirs = lines["ours"], lines[other]
    for field in ("seconds", "cpu_seconds", "peak_bytes"):
        mine, base = (median(each[field] for each in side) for side in (ours, theirs))
        figure(name, field, mine, "byte" if field == "peak_bytes" else "s", other, base / mine)
    figure(
        name, "pairs_per_second", ours[0]["pairs"] / median(e["seconds"] for e in ours), "pair/s"
    )
    operations = needed_flops(ours[0], architecture, vocab_size)
    for field, rate in (("seconds", "product_rate"), ("cpu_seconds", "cpu_product_rate")):
        floor = operations / max(each[rate] for each in ours)
        figure(name, f"{field}_floor", floor, "s")
        figure(name, f"{field}_over_floor", median(each[field] for each in ours) / floor, "1")
    difference = max(abs(each["score"] - ours[0]["score"]) for each in theirs)
    figure(name, "score_difference", difference, "1")


def needed_flops(line: Line, architecture: Architecture, vocab_size: int) -> float:
    """Operations of the matrix products that no way of scoring can avoid, without attention."""
    layers = range(architecture.num_hidden_layers)
    used = sum(architecture.layer_matrices(layer)[1] for layer in layers)
    weights = line["tokens"] * used + line["predictions"] * vocab_size * architecture.hidden_size
    return 2.0 * float(weights)


def measure(way: str, checkpoint: Path, task: Path) -> Line:
    """Runs `benchmarks.scorer` in its own process."""
    threads = os.environ.get("BABYLM_BENCH_THREADS", "1")
    arguments = (way, str(checkpoint), str(task), threads)
    command = python_command("benchmarks.scorer", *arguments)
    variables = {"OMP_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1"}
    if way == "official":  # in the environment of the official pipeline
        python = os.environ["BABYLM_BENCH_PIPELINE_PYTHON"]
        command = [python, "-P", str(SCORER), *arguments]
        variables["PYTHONPATH"] = os.environ["BABYLM_BENCH_PIPELINE"]
    done = subprocess.run(
        command,
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        sys.exit(f"{way} failed:\n{done.stderr[-3000:]}")
    line: Line = json.loads(done.stdout.splitlines()[-1])
    return line


def thinned(task: Path, folder: Path) -> Path:
    """The task with every n-th line of each file, as BABYLM_BENCH_STRIDE says."""
    stride = int(os.environ.get("BABYLM_BENCH_STRIDE", "1"))
    if stride == 1:
        return task
    made = folder / "blimp"
    made.mkdir()
    for path in sorted(task.glob("*.jsonl")):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        (made / path.name).write_text("".join(lines[::stride]), encoding="utf-8")
    return made


def train_tokenizer(text: Path, folder: Path) -> None:
    folder.mkdir()
    train_bpe(
        sorted(text.iterdir()),
        spec=TokenizerSpec(vocab_size=PRESETS[PRESET_NAMES[0]].spec["tokenizer"]["vocab_size"]),
        output=folder,
        progress=lambda _: None,
        should_stop=lambda: False,
    )


def write_checkpoint(preset: str, folder: Path, tokenizer: Path) -> tuple[Architecture, int]:
    """Writes an untrained checkpoint; returns its architecture and its vocabulary size."""
    spec = PRESETS[preset].spec
    vocab_size = spec["tokenizer"]["vocab_size"]
    made = ARCHITECTURES[spec["model"]["architecture"]](**spec["model"])
    architecture = made.resolve(seq_length=spec["training"]["seq_length"])
    shutil.copytree(tokenizer, folder)
    model = build_model(architecture, vocab_size=vocab_size, seed=0)
    save_weights(model, folder / "model.safetensors")
    save_config(model, folder, architecture)
    return architecture, vocab_size
