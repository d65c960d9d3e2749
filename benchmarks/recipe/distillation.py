"""Measures distillation: `python -m benchmarks.recipe.distillation --work DIR --results FILE`.

A student learns from the text and from the predictions of teachers (Hinton et al. 2015,
"Distilling the Knowledge in a Neural Network"; for BabyLM: Timiryasov and Tastet 2023, "Baby
Llama"). By the rules of a BabyLM track, the words that the teachers see count against the same
budget. So by default one teacher and its student take five epochs each, and are compared with one
model of ten epochs.

The command uses the tokens of a finished run of the study, whose work folder `--work` names, and
adds one JSON line per student to the file `--results`. Teachers and students have the settings of
the condition `best-documents`. The loss is torch's own.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, nll_loss
from torch.nn.utils import clip_grad_norm_
from transformers import PreTrainedModel

from benchmarks.recipe.conditions import SHAPES, Entry
from benchmarks.recipe.leaderboard import CHOSEN
from core.dataset.batches import IGNORED, Batches
from core.dataset.tokens import TokenFile
from core.spec.job import JobSpec
from core.spec.plan import make_plan
from core.training.components import Components, build_components
from core.training.execution.compiled import compile_layers
from core.training.execution.device import Device, choose_device, prepare
from core.training.model.attention.select import eager_mode
from core.training.optimizers.fused_adamw import set_learning_rate
from core.training.optimizers.schedule import learning_rate
from core.training.validate import validate

FIRST_TEACHER_SEED = 100
"""Teachers have other seeds than students: other initial weights and another order of the text."""
PASS_TOKENS = 2048
"""Number of tokens per pass. It is small, because all logits of a pass are kept in memory."""


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    train, validation = _tokens(options.work, options.shape)
    for seed in options.seeds:
        began = time.monotonic()
        first = FIRST_TEACHER_SEED + options.teachers * seed
        specs = [
            _spec(options.shape, first + number, epochs=options.teacher_epochs)
            for number in range(options.teachers)
        ]
        teachers = [_train(spec, train, (), weight=0.0).eval() for spec in specs]
        spec = _spec(options.shape, seed, epochs=options.epochs)
        student = _train(spec, train, teachers, weight=options.weight)
        result = validate(
            student,
            validation,
            training=spec.training,
            device=choose_device(spec.training),
            micro_batch_size=spec.training.batch_size,
        )
        line = {
            "shape": options.shape,
            "seed": seed,
            "teachers": options.teachers,
            "weight": options.weight,
            "teacher_epochs": options.teacher_epochs,
            "epochs": options.epochs,
            "bits_per_byte": result.bits_per_byte,
            "seconds": round(time.monotonic() - began, 1),
        }
        with options.results.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(f"distillation: {json.dumps(line)}", file=sys.stderr, flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipe.distillation")
    parser.add_argument("--work", type=Path, default=Path("runs/recipe"))
    parser.add_argument("--results", type=Path, default=Path("runs/recipe/distillation.jsonl"))
    parser.add_argument("--shape", choices=SHAPES, default="cpu")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--teachers", type=int, default=1, help="teachers of one student")
    parser.add_argument("--teacher-epochs", type=float, default=5.0)
    parser.add_argument("--epochs", type=float, default=5.0, help="epochs of the student")
    parser.add_argument(
        "--weight",
        type=float,
        default=0.5,
        help="share of the teachers' predictions in the student's loss",
    )
    return parser


def _tokens(work: Path, shape: str) -> tuple[TokenFile, TokenFile]:
    """The tokens of the finished run of OLMo 2, `best-documents`, seed 0: training, validation."""
    entry = Entry(SHAPES[shape], "olmo2", CHOSEN, 0)
    inputs = json.loads((work / "runs" / entry.name / "inputs.json").read_text())["results"]
    train, validation = (
        TokenFile.open(work / "cache" / "tokenize" / inputs[f"tokenize/{split}"])
        for split in ("train", "validation")
    )
    return train, validation


def _spec(shape: str, seed: int, *, epochs: float) -> JobSpec:
    content = Entry(SHAPES[shape], "olmo2", CHOSEN, seed).spec()
    content["training"] |= {"epochs": epochs}
    return JobSpec.model_validate(content).resolve()


def _train(
    spec: JobSpec, tokens: TokenFile, teachers: Sequence[PreTrainedModel], *, weight: float
) -> PreTrainedModel:
    """Trains a model; `weight` is the share of the teachers' predictions in its targets."""
    training = spec.training
    device = choose_device(training)
    prepare(device, training)
    plan = make_plan(training, num_tokens=tokens.num_tokens)
    components = build_components(
        spec, plan, device, vocab_size=tokens.vocab_size, rank=0, warn=lambda *_: None
    )
    if components.execution_plan.compile:
        compile_layers(components.model, cache=None)
    batches = Batches.of(tokens, training)
    for step in range(1, plan.max_steps + 1):
        set_learning_rate(components.optimizer, learning_rate(step, plan, training))
        batch = batches.batch(step)
        inputs, targets = device.put(batch.inputs), device.put(batch.targets)
        loss = _backward(components, device, inputs, targets, teachers, weight)
        limit = training.max_grad_norm or float("inf")
        clip_grad_norm_(components.model.parameters(), limit)
        components.optimizer.step()
        components.optimizer.zero_grad(set_to_none=True)
        if step % plan.logging_steps == 0:
            print(f"distillation: step {step} loss {loss:.4f}", file=sys.stderr, flush=True)
    return components.model


def _backward(
    components: Components,
    device: Device,
    inputs: Tensor,
    targets: Tensor,
    teachers: Sequence[PreTrainedModel],
    weight: float,
) -> float:
    """Adds up the gradients of a batch (B, T); returns its mean loss in nats."""
    model, total = components.model, 0.0
    num_targets = int((targets != IGNORED).sum())
    size = max(1, PASS_TOKENS // inputs.shape[1])
    for begin in range(0, len(inputs), size):
        part = slice(begin, begin + size)
        # A pass of another size would be compiled again, so it runs uncompiled.
        is_odd = len(inputs[part]) != size
        with device.autocast(), eager_mode(model) if is_odd else nullcontext():
            logits = model(input_ids=inputs[part], use_cache=False).logits  # (b, T, V)
        scores = log_softmax(logits.float(), dim=-1)  # (b, T, V)
        loss = nll_loss(scores.flatten(0, 1), targets[part].flatten(), reduction="sum")
        if teachers:
            expected = _mean_prediction(teachers, device, inputs[part])  # (b, T, V)
            counted = targets[part] != IGNORED  # (b, T)
            own = -((expected * scores).sum(-1) * counted).sum()
            loss = (1.0 - weight) * loss + weight * own
        mean = loss / num_targets
        mean.backward()  # type: ignore[no-untyped-call]
        total += mean.item()
    return total


@torch.no_grad()
def _mean_prediction(teachers: Sequence[PreTrainedModel], device: Device, inputs: Tensor) -> Tensor:
    """(b, T, V) mean of the probabilities that the teachers give to each next token."""
    total: Tensor | None = None
    for teacher in teachers:
        with device.autocast(), eager_mode(teacher):
            logits = teacher(input_ids=inputs, use_cache=False).logits
        probabilities = torch.softmax(logits.float(), dim=-1)
        total = probabilities if total is None else total + probabilities
    assert total is not None
    return total / len(teachers)


if __name__ == "__main__":
    sys.exit(main())
