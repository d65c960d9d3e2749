"""Minimal pairs evaluated per second: our code, a plain loop over sentences, and a lower bound.

The pairs come from the sample corpus, or from the task folder that BABYLM_BENCH_PAIRS names. The
model is untrained. Our code and the plain loop take turns for BABYLM_BENCH_ROUNDS rounds (default
3) on BABYLM_BENCH_THREADS threads (default 1). The lower bound, `floor_seconds`, is the time of the
necessary matrix products alone, at the rate that the same run measures for matrix products of the
model's width.
"""

import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import AutoTokenizer, Olmo2Config, Olmo2ForCausalLM

from benchmarks.report import figure, wanted
from core.evaluation.prepared import Choices, PreparedTasks, read_contents
from core.evaluation.scoring import BATCH_SENTENCES, sentence_scores
from core.evaluation.slices import Evaluation, prepare
from core.sample import write_sample
from core.spec.job import TokenizerSpec
from core.tokenizer.bpe import train_bpe

NAMES = ("evaluation/olmo2",)
VOCABULARY, WIDTH, LAYERS = 8000, 256, 8
PRODUCT_ROWS = 2048


def run(only: str | None) -> None:
    rounds = int(os.environ.get("BABYLM_BENCH_ROUNDS", "3"))
    torch.set_num_threads(int(os.environ.get("BABYLM_BENCH_THREADS", "1")))
    with tempfile.TemporaryDirectory(prefix="babylm-bench-") as folder:
        for name in wanted(NAMES, only):
            compare(name, Path(folder), rounds)


def compare(name: str, folder: Path, rounds: int) -> None:
    sample = write_sample(folder / "data")
    task = Path(os.environ.get("BABYLM_BENCH_PAIRS") or sample.pairs)
    model, tokenizer = build(sample.train, folder)
    contents = read_contents(task)
    assert isinstance(contents, Choices)
    texts = [each.text for item in contents._items for each in item.candidates]
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    tokens = needed = 0.0
    for number in range(rounds):
        began = time.monotonic()
        prepared = prepare(PreparedTasks(), model, tokenizer, task)
        evaluation = Evaluation(prepared, folder / f"partial-{number}.npz")
        while evaluation.share < 1.0:
            evaluation.advance(model, seconds=1e9)
        evaluation.finish()
        times["ours"].append(time.monotonic() - began)
        began = time.monotonic()
        for begin in range(0, len(texts), BATCH_SENTENCES):
            sentence_scores(model, tokenizer, texts[begin : begin + BATCH_SENTENCES])
        times["plain"].append(time.monotonic() - began)
        tokens = prepared.num_tokens
        reads = sum(len(set(row.indices)) for row in prepared.rows)
        body = sum(each.numel() for each in model.model.layers.parameters())
        needed = 2.0 * (tokens * body + reads * VOCABULARY * WIDTH)
    pairs = len(texts) / 2
    ours, plain = median(times["ours"]), median(times["plain"])
    floor = needed / product_rate()
    figure(name, "pairs_per_second", pairs / ours, "pair/s", "whole sentences", plain / ours)
    figure(name, "whole_sentences/pairs_per_second", pairs / plain, "pair/s")
    figure(name, "floor_seconds", floor, "s")
    figure(name, "seconds_over_floor", ours / floor, "1")
    figure(name, "tokens", tokens, "token")


def build(text: Path, folder: Path) -> tuple[Olmo2ForCausalLM, Any]:
    """A model of the 10M presets' shape, untrained, and a tokenizer of the sample text."""
    (folder / "tokenizer").mkdir(exist_ok=True)
    train_bpe(
        sorted(text.iterdir()),
        spec=TokenizerSpec(vocab_size=VOCABULARY),
        output=folder / "tokenizer",
        progress=lambda _: None,
        should_stop=lambda: False,
    )
    torch.manual_seed(0)
    config = Olmo2Config(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=8,
        pad_token_id=None,
        eos_token_id=0,
    )
    return Olmo2ForCausalLM(config).eval(), AutoTokenizer.from_pretrained(folder / "tokenizer")


def product_rate() -> float:
    """Floating-point operations per second in a matrix product of the model's width."""
    left, right = torch.randn(PRODUCT_ROWS, WIDTH), torch.randn(WIDTH, 4 * WIDTH)
    seconds = []
    for _ in range(20):
        began = time.monotonic()
        torch.mm(left, right)
        seconds.append(time.monotonic() - began)
    return 2.0 * left.numel() * right.shape[1] / min(seconds)
