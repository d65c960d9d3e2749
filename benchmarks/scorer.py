"""Scores minimal pairs in one of the ways of `benchmarks.bench_evaluation`, in its own process.

    python benchmarks/scorer.py WAY CHECKPOINT TASK THREADS

Prints a JSON line. `seconds` (wall time) and `cpu_seconds` include reading the task, tokenization,
the model and the scores, but not loading libraries and the checkpoint. `peak_bytes` is the largest
resident memory of the process, `loaded_bytes` its resident memory before the task is read.

`official` runs with an interpreter that has the requirements of the official pipeline, and with a
checkout of the pipeline on PYTHONPATH. So this module imports packages of this project only for the
other ways.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

Json = dict[str, Any]
"""A JSON object with values of any type."""
KIB = 1024
"""Number of bytes in the unit of ru_maxrss on Linux."""
PRODUCT_ROWS, PRODUCTS = 2048, 20


def main() -> None:
    way, checkpoint, task, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    run = {"official": official, "plain": plain, "ours": ours}[way](checkpoint, task)
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
    began, cpu_began = time.monotonic(), time.process_time()
    line = run()
    line["seconds"] = time.monotonic() - began
    line["cpu_seconds"] = time.process_time() - cpu_began
    line["loaded_bytes"] = loaded
    line["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
    if way == "ours":
        line["product_rate"], line["cpu_product_rate"] = product_rates(line.pop("width"))
    print(json.dumps(line))


def official(checkpoint: str, task: str) -> Callable[[], Json]:
    """The official pipeline (babylm/evaluation-pipeline-2025), `sentence_zero_shot.run`."""
    pipeline: Any = import_module("evaluation_pipeline.sentence_zero_shot.run")  # untyped
    sys.argv = ["run", "--data_path", task, "--task", "blimp", "--backend", "causal"]
    sys.argv += ["--model_path_or_name", checkpoint, "--save_predictions"]
    arguments = pipeline._parse_arguments()
    model = pipeline.get_model(arguments)

    def run() -> Json:
        loader = pipeline.get_dataloader(arguments)
        temperatures = pipeline.get_temperatures(arguments)
        results, predictions = pipeline.compute_results(arguments, model, loader, temperatures)
        _, averages = pipeline.process_results(arguments, results)
        by_paradigm = predictions[temperatures[0]].values()
        pairs = sum(len(each["predictions"]) for each in by_paradigm)
        return {"score": averages[temperatures[0]] / 100.0, "pairs": pairs}

    return run


def plain(checkpoint: str, task: str) -> Callable[[], Json]:
    """Scores whole sentences in batches, with all logits, by `sentence_scores` of this project."""
    from core.checkpoints.generate import load_checkpoint
    from core.evaluation.prepared import Choices, read_contents
    from core.evaluation.scoring import BATCH_SENTENCES, sentence_scores

    model, tokenizer = load_checkpoint(Path(checkpoint))

    def run() -> Json:
        contents = read_contents(Path(task))
        assert isinstance(contents, Choices)
        texts = [each.text for item in contents._items for each in item.candidates]
        scores: list[float] = []
        for begin in range(0, len(texts), BATCH_SENTENCES):
            scores += sentence_scores(model, tokenizer, texts[begin : begin + BATCH_SENTENCES])
        return _summary(contents.summary(scores, seconds=0.0))

    return run


def ours(checkpoint: str, task: str) -> Callable[[], Json]:
    """The evaluation of this project."""
    from benchmarks.evaluated import evaluated
    from core.checkpoints.generate import load_checkpoint

    model, tokenizer = load_checkpoint(Path(checkpoint))

    def run() -> Json:
        evaluation, prepared = evaluated(model, tokenizer, Path(task))
        line = _summary(evaluation.finish())
        line["tokens"] = prepared.num_tokens
        line["predictions"] = sum(_num_normalized(row) for row in prepared.rows)
        return line | {"width": model.config.hidden_size}

    return run


def _summary(summary: Any) -> Json:
    return {"score": summary.result.score, "pairs": summary.result.pairs}


def _num_normalized(row: Any) -> int:
    """Number of tokens of a row for which all logits are needed."""
    return len({at for at, is_logit in zip(row.indices, row.relative, strict=True) if not is_logit})


def product_rates(width: int) -> tuple[float, float]:
    """Floating-point operations per second of wall time and of processor time.

    The function measures matrix products of this width. Only the fastest product counts, because
    other processes may slow down some of the products.
    """
    left, right = torch.randn(PRODUCT_ROWS, width), torch.randn(width, 4 * width)
    wall, cpu = [], []
    for _ in range(PRODUCTS):
        began, cpu_began = time.monotonic(), time.process_time()
        torch.mm(left, right)
        wall.append(time.monotonic() - began)
        cpu.append(time.process_time() - cpu_began)
    operations = 2.0 * left.numel() * right.shape[1]
    return operations / min(wall), operations / min(cpu)


if __name__ == "__main__":
    main()
