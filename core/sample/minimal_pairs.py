"""Accuracy on minimal pairs: the share of pairs in which the good sentence is more probable.

    python -m core.sample.minimal_pairs CHECKPOINT_DIR PAIRS_DIR

The command prints a JSON object with the accuracy for each file. A pair counts as wrong if both
sentences are equally probable. The official evaluation (`core.evaluation`) does not score the first
word. This program puts `<|endoftext|>` before each sentence and scores the first word too, because
the sentences of a pair may differ in the first word.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from core.checkpoints.generate import load_checkpoint
from core.checkpoints.model import quiet_transformers
from core.evaluation.scoring import sentence_scores
from core.tokenizer.specials import END_OF_TEXT_ID


def accuracy(
    model: PreTrainedModel,
    tokenizer: Any,  # Any, because tokenizers share no type in transformers 4 and 5
    file: Path,
) -> float:
    """Share of the pairs in a JSON lines file in which the good sentence is more probable."""
    pairs = [json.loads(line) for line in file.read_text().splitlines()]
    good, bad = (
        sentence_scores(
            model, tokenizer, [pair[f"sentence_{side}"] for pair in pairs], start=[END_OF_TEXT_ID]
        )
        for side in ("good", "bad")
    )
    return sum(left > right for left, right in zip(good, bad, strict=True)) / len(pairs)


def main(arguments: list[str] | None = None) -> int:
    """Scores a checkpoint on every `.jsonl` file of a folder."""
    parser = argparse.ArgumentParser(prog="python -m core.sample.minimal_pairs")
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
