"""Cost of attention within documents: steps on the same windows of text, with and without it.

The text is that of `bench_corpus`: BABYLM_BENCH_DATA names a folder with `train_10M`. One model
with one optimizer alternates steps of both kinds: after an untimed one, BABYLM_BENCH_ROUNDS (5) of
each, with BABYLM_BENCH_BATCH (8) sequences.
"""

import os
import tempfile
import time
from pathlib import Path
from statistics import median
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
WAYS: tuple[Literal["stream", "documents"], ...] = ("stream", "documents")


def run(only: str | None) -> None:
    with tempfile.TemporaryDirectory(prefix="babylm-bench-") as folder:
        tokens = tokenized(Path(folder))
        for name in wanted(NAMES, only):
            compare(name, tokens)


def tokenized(folder: Path) -> TokenFile:
    """The training text with the vocabulary of the presets."""
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
        way: Batches(
            tokens,
            seq_length=training.seq_length,
            batch_size=training.batch_size,
            seed=0,
            packing=way,
        )
        for way in WAYS
    }
    stepper = our_stepper(spec, num_tokens=tokens.num_tokens)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    documents = []
    for step in range(1, int(os.environ.get("BABYLM_BENCH_ROUNDS", "5")) + 2):
        for way in WAYS:
            batch = batches[way].batch(step)
            began = time.perf_counter()
            stepper.take(batch, learning_rate=training.learning_rate).loss.item()
            seconds[way].append(time.perf_counter() - began)
            if batch.segments is not None:
                documents.append(float(batch.segments[:, -1].mean()) + 1.0)
    size = training.batch_size * training.seq_length
    stream, apart = (size / median(seconds[way][1:]) for way in WAYS)
    figure(name, "tokens_per_second", apart, "token/s", "stream", apart / stream)
    figure(name, "documents_per_sequence", sum(documents) / len(documents), "1")
