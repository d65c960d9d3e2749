"""Cost of `packing: "documents"`, compared with `packing: "stream"` on the same windows of text.

With `documents` a token attends only to its own document. BABYLM_BENCH_DATA names a folder with
`train_10M`, as in `bench_corpus`. One model with one optimizer takes steps with the two modes in
turn: first one untimed step with each mode, then BABYLM_BENCH_ROUNDS timed steps (default 5) with
each mode. A step has BABYLM_BENCH_BATCH sequences (default 8).
"""

import os
import tempfile
import time
from pathlib import Path
from statistics import mean, median
from typing import Literal

from benchmarks.bench_corpus import clean_folder, ignore, never, raw_text
from benchmarks.contender import bench_spec, our_stepper
from benchmarks.report import figure, wanted
from core.dataset.batches import Batches
from core.dataset.encode import encode_split
from core.dataset.tokens import TokenFile
from core.spec.job import TokenizerSpec
from core.tokenizer.bpe import train_bpe

NAMES = ("packing/gemma2-10m", "packing/llama4-10m", "packing/olmo2-10m")
PACKING_MODES: tuple[Literal["stream", "documents"], ...] = ("stream", "documents")


def run(only: str | None) -> None:
    with tempfile.TemporaryDirectory(prefix="babylm-bench-") as folder:
        tokens = tokenized(Path(folder))
        for name in wanted(NAMES, only):
            compare(name, tokens)


def tokenized(folder: Path) -> TokenFile:
    """Tokenizes the training text with the vocabulary size of the presets."""
    clean_folder(raw_text(folder), folder / "clean")
    files = sorted((folder / "clean").glob("*.txt"))
    for name in ("tokenizer", "tokens"):
        (folder / name).mkdir()
    train_bpe(
        files,
        spec=TokenizerSpec(
            vocab_size=bench_spec("olmo2-10m", precision="fp32", batch_size=1).tokenizer.vocab_size
        ),
        output=folder / "tokenizer",
        progress=ignore,
        should_stop=never,
    )
    encode_split(
        files,
        tokenizer=folder / "tokenizer",
        output=folder / "tokens",
        progress=ignore,
        should_stop=never,
    )
    return TokenFile.open(folder / "tokens")


def compare(name: str, tokens: TokenFile) -> None:
    spec = bench_spec(
        name.removeprefix("packing/"),
        precision="auto",
        batch_size=int(os.environ.get("BABYLM_BENCH_BATCH", "8")),
    )
    training = spec.training
    batches = {
        mode: Batches(
            tokens,
            seq_length=training.seq_length,
            batch_size=training.batch_size,
            seed=0,
            packing=mode,
        )
        for mode in PACKING_MODES
    }
    stepper = our_stepper(spec, num_tokens=tokens.num_tokens)
    seconds: dict[str, list[float]] = {mode: [] for mode in PACKING_MODES}
    documents_per_sequence = []
    for step in range(1, int(os.environ.get("BABYLM_BENCH_ROUNDS", "5")) + 2):
        for mode in PACKING_MODES:
            batch = batches[mode].batch(step)
            began = time.perf_counter()
            stepper.take(batch, learning_rate=training.learning_rate).loss.item()
            seconds[mode].append(time.perf_counter() - began)
            if batch.segments is not None:
                documents_per_sequence.append(float(batch.segments[:, -1].mean()) + 1.0)
    size = training.batch_size * training.seq_length
    stream, documents = (size / median(seconds[mode][1:]) for mode in PACKING_MODES)
    figure(name, "tokens_per_second", documents, "token/s", "stream", documents / stream)
    figure(name, "documents_per_sequence", mean(documents_per_sequence), "1")
