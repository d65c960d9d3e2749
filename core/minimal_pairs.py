"""Accuracy on minimal pairs: is the good sentence likelier than the bad one?

    python -m core.minimal_pairs CHECKPOINT_DIR PAIRS_DIR

prints a JSON object of the share of right choices a file (Warstadt et al. 2020, BLiMP).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from core.generate import load_checkpoint
from core.tokenizer.specials import END_OF_TEXT_ID, PAD_ID
from core.training.model import quiet_transformers

BATCH_SENTENCES = 64


@torch.no_grad()
def log_probabilities(
    model: PreTrainedModel,
    tokenizer: Any,  # Any: transformers' tokenizers share no public type in 4 and 5
    sentences: Sequence[str],
) -> list[float]:
    """The log-probability of each sentence, in nats, after `<|endoftext|>`."""
    results: list[float] = []
    for begin in range(0, len(sentences), BATCH_SENTENCES):
        rows = [
            [END_OF_TEXT_ID, *tokenizer(sentence)["input_ids"]]
            for sentence in sentences[begin : begin + BATCH_SENTENCES]
        ]
        width = max(len(row) for row in rows)
        ids = torch.full((len(rows), width), PAD_ID)  # (B, T)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row)
        mask = torch.arange(width)[None] < torch.tensor([len(row) for row in rows])[:, None]
        # Padding stands on the right, where a causal model does not look.
        logits = model(input_ids=ids, use_cache=False).logits.float()  # (B, T, V)
        losses = functional.cross_entropy(
            logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none"
        )  # (B, T - 1)
        results += (-losses.double() * mask[:, 1:]).sum(dim=1).tolist()
    return results


def accuracy(
    model: PreTrainedModel,
    tokenizer: Any,  # Any: as above
    file: Path,
) -> float:
    """Share of the pairs of a JSON lines file in which the good sentence is strictly likelier."""
    pairs = [json.loads(line) for line in file.read_text().splitlines()]
    good = log_probabilities(model, tokenizer, [pair["sentence_good"] for pair in pairs])
    bad = log_probabilities(model, tokenizer, [pair["sentence_bad"] for pair in pairs])
    return sum(left > right for left, right in zip(good, bad, strict=True)) / len(pairs)


def main(arguments: list[str] | None = None) -> int:
    """Scores a checkpoint on every `.jsonl` file of a folder."""
    parser = argparse.ArgumentParser(prog="python -m core.minimal_pairs")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("pairs", type=Path)
    options = parser.parse_args(arguments)
    quiet_transformers()
    model, tokenizer = load_checkpoint(options.checkpoint)
    scores = {
        file.stem: accuracy(model, tokenizer, file)
        for file in sorted(options.pairs.glob("*.jsonl"))
    }
    sys.stdout.write(json.dumps(scores) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
