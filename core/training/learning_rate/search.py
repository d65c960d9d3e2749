"""Takes training steps at a rising learning rate and records the loss."""

from collections.abc import Callable
from math import isfinite
from pathlib import Path

from core.checkpoints.model import quiet_transformers
from core.dataset.batches import Batches
from core.dataset.tokens import TokenFile
from core.errors import Stopped
from core.events.types import EventData, MetricsData
from core.spec.job import JobSpec
from core.spec.plan import make_plan
from core.training.components import build_components
from core.training.execution.device import choose_device, prepare
from core.training.learning_rate.summary import Point

SMOOTHING = 0.9
"""Weight of the earlier steps in the moving mean of the loss. The mean starts at 0, and the bias of
this start is corrected as in Adam."""
DIVERGED = 1.5
"""The search ends if the smoothed loss exceeds this number times its minimum so far."""


def search(
    spec: JobSpec,
    tokens: TokenFile,
    *,
    initial: Path | None = None,
    lowest: float,
    highest: float,
    steps: int,
    should_stop: Callable[[], bool],
    emit: Callable[[EventData], None],
    warn: Callable[[str, str], None],
    progress: Callable[[int], None],
) -> list[Point]:
    """Takes up to `steps` training steps at rates from `lowest` to `highest`.

    The learning rate grows by the same factor at each step. The search ends early if the loss
    diverges. The model, the batches and the optimizer are those of the spec. The search uses one
    device, uncompiled layers and a constant weight decay. With Muon, `muon_learning_rate` rises in
    proportion. `initial` is the folder with the weights of a warm start; if it is None, the weights
    are random.

    Raises:
        Stopped: After a stop request.
    """
    quiet_transformers()
    spec = _on_one_device(spec)
    training = spec.training
    device = choose_device(training)
    prepare(device, training)
    plan = make_plan(training, num_tokens=tokens.num_tokens)
    components = build_components(
        spec, plan, device, vocab_size=tokens.vocab_size, rank=0, warn=warn, initial=initial
    )
    batches = Batches.of(tokens, training)
    points: list[Point] = []
    average = 0.0
    for step in range(1, steps + 1):
        if should_stop():
            raise Stopped
        rate = lowest * (highest / lowest) ** ((step - 1) / (steps - 1))
        result = components.stepper.take(batches.batch(step), learning_rate=rate)
        loss = result.loss.item()
        if components.stepper.found_inf or not isfinite(loss):
            break
        average = SMOOTHING * average + (1.0 - SMOOTHING) * loss
        points.append(Point(step, rate, loss, average / (1.0 - SMOOTHING**step)))
        emit(
            MetricsData(
                step=step,
                epoch=batches.epoch(step),
                tokens_seen=batches.tokens_seen(step),
                words_seen=batches.words_seen(step),
                values={"train/loss": loss, "train/learning_rate": rate},
            )
        )
        progress(step)
        if points[-1].smoothed_loss > DIVERGED * min(point.smoothed_loss for point in points):
            break
    return points


def _on_one_device(spec: JobSpec) -> JobSpec:
    training = spec.training
    size = training.micro_batch_size
    update = {
        "num_devices": 1,
        "compile": False,
        "ema_decay": None,
        "micro_batch_size": training.device_batch_size if size is None else size,
    }
    return spec.model_copy(update={"training": training.model_copy(update=update)})
