"""A training step: forward, backward, gradient clipping, optimizer step.

A rank is one process of a run on several devices.

Shapes: B sequences in the batch, b in a micro-batch, T tokens in a sequence.
"""

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, get_total_norm
from transformers import PreTrainedModel

from core.dataset.batches import Batch
from core.spec.optimizers import OPTIMIZERS
from core.spec.training import TrainingSpec
from core.training.distributed.reducer import GradientReducer
from core.training.execution.cuda_graph import CudaGraph
from core.training.execution.device import Device
from core.training.loss import objective_and_loss
from core.training.model.attention.select import eager_mode
from core.training.model.moe.experts import RouterStatistics
from core.training.optimizers.fused_adamw import guarded_step, set_learning_rate

NO_CLIPPING = float("inf")
CLIPPING_EPSILON = 1e-6
"""Number added to the gradient norm before the division, as in `clip_grad_norm_`."""


@dataclass(frozen=True)
class StepResult:
    """Measurements of a step, as device tensors. Reading a value waits for the device."""

    loss: Tensor
    """Scalar: mean over the targets of the step, in nats, without balancing loss and z-loss."""
    grad_norm: Tensor
    """Scalar: norm of all gradients before clipping."""
    routing: dict[str, Tensor]
    """Scalars by metric name; empty for a model without experts."""


class Stepper:
    """Takes training steps; stops updating the weights after the first non-finite value.

    A non-finite loss or gradient norm sets a flag on the device (`found_inf`). Once the flag is
    set, steps leave weights and optimizer state unchanged. An optimizer that applies `found_inf`
    itself needs no device synchronization for this. The training loop reads the flag after logged
    steps, and on a CPU after every step.

    With loss scaling, only a non-finite loss sets the flag. After a non-finite gradient, only the
    update of the same step is skipped.
    """

    def __init__(
        self,
        *,
        model: PreTrainedModel,
        optimizer: torch.optim.Optimizer,
        training: TrainingSpec,
        device: Device,
        routers: RouterStatistics,
        micro_batch_size: int,
        reducer: GradientReducer | None = None,
    ) -> None:
        """Prepares for steps on `device`.

        Args:
            model: The model to train.
            optimizer: The optimizer of the model.
            training: Training section of the spec.
            device: The device of this rank.
            routers: Statistics of the model's routers.
            micro_batch_size: Number of sequences per pass.
            reducer: Sums gradients over the ranks; None if the run has one device.
        """
        self._model = model
        self._reducer = reducer
        self._optimizer = optimizer
        self._training = training
        self._device = device
        self._routers = routers
        self.micro_batch_size = micro_batch_size
        self._parameters = list(model.parameters())
        self._cuda_graph: CudaGraph | None = None
        self._found_inf = torch.zeros((), device=device.torch_device)
        self.scaler: torch.amp.GradScaler | None = None
        if device.precision == "fp16":
            self.scaler = torch.amp.GradScaler(device.torch_device.type)

    def take(self, batch: Batch, *, learning_rate: float) -> StepResult:
        """Takes one step on a batch of B sequences.

        Each rank splits its own sequences into micro-batches of b sequences.

        The loss is the sum over all targets of the step divided by the number of targets, so it
        does not depend on the size of micro-batches.
        """
        set_learning_rate(self._optimizer, learning_rate)
        self._clear_gradients()
        self._routers.clear()
        rows = slice(None)
        if self._reducer is not None:
            rows = self._reducer.rows(len(batch.inputs))
        inputs = self._device.put(batch.inputs[rows])  # (B or fewer, T)
        targets = self._device.put(batch.targets[rows])  # same shape as inputs
        segments = None
        if batch.segments is not None:
            segments = self._device.put(batch.segments[rows])  # same shape as inputs
        loss = self._passes(inputs, targets, segments, batch)
        if self._reducer is not None:
            loss = self._reducer.add_up(loss, self._routers)
        routing = self._routers.metrics()
        return StepResult(loss, self._update(loss), routing)

    def _passes(
        self, inputs: Tensor, targets: Tensor, segments: Tensor | None, batch: Batch
    ) -> Tensor:
        """Runs forward and backward of all micro-batches; returns the sum of their losses."""
        size = self.micro_batch_size
        loss = torch.zeros((), device=self._device.torch_device)
        cuda_graph = self._cuda_graph if self._is_full(batch) else None
        if cuda_graph is not None:
            cuda_graph.begin_step()
        for begin in range(0, len(inputs), size):
            part = slice(begin, begin + size)
            if cuda_graph is not None:
                loss += cuda_graph.launch(inputs[part], targets[part])
                continue
            fraction = len(inputs[part]) / len(batch.inputs)
            own = None if segments is None else segments[part]
            loss += self._micro(inputs[part], targets[part], own, batch.num_targets, fraction)
        return loss

    def _is_full(self, batch: Batch) -> bool:
        """Whether a batch has the shape for which the CUDA graph was captured."""
        return (
            len(batch.inputs) == self._training.batch_size
            and batch.num_targets == batch.inputs.size
        )

    def probe(self, seq_length: int) -> None:
        """Runs forward and backward of a full micro-batch; discards the gradients.

        Triggers compilation and shows whether the micro-batch fits into memory.
        """
        self._cuda_graph = None
        shape = (self.micro_batch_size, seq_length)
        ids = torch.zeros(shape, dtype=torch.int64, device=self._device.torch_device)  # (b, T)
        segments = ids.int() if self._training.packing == "documents" else None
        try:
            self._micro(ids, ids, segments, ids.numel(), 1.0)
        finally:
            self._optimizer.zero_grad(set_to_none=True)
            self._routers.clear()

    def capture(self, seq_length: int) -> None:
        """Captures the passes of a full micro-batch as a CUDA graph, which later steps launch.

        Raises:
            RuntimeError: If the capture fails; steps then run without a graph.
        """
        training, size = self._training, self.micro_batch_size
        num_targets = training.batch_size * seq_length
        fraction = size / training.batch_size
        try:
            self._cuda_graph = CudaGraph(
                lambda inputs, targets: self._micro(inputs, targets, None, num_targets, fraction),
                parameters=self._parameters,
                routers=self._routers,
                shape=(size, seq_length),
                accumulates=size < training.batch_size,
            )
        finally:
            self._optimizer.zero_grad(set_to_none=True)
            self._routers.clear()

    @property
    def loss_scale(self) -> float | None:
        """Factor by which loss scaling multiplies the gradients; None without loss scaling."""
        return None if self.scaler is None else self.scaler.get_scale()

    @property
    def found_inf(self) -> bool:
        """True after a non-finite loss or gradient norm. Synchronizes with the device."""
        return bool(self._found_inf.item())

    def _clear_gradients(self) -> None:
        if self._reducer is None:
            self._optimizer.zero_grad(set_to_none=True)
        else:
            self._reducer.clear()

    def _micro(
        self,
        inputs: Tensor,
        targets: Tensor,
        segments: Tensor | None,
        num_targets: int,
        fraction: float,
    ) -> Tensor:
        """Runs the forward and backward pass of (b, T) tokens.

        Returns the contribution of these tokens to the mean loss of the step. `fraction` is the
        number of sequences in the micro-batch divided by the number in the step.
        """
        # A micro-batch of another size would be compiled again, so it runs uncompiled.
        is_odd = len(inputs) != self.micro_batch_size
        with eager_mode(self._model) if is_odd else nullcontext():
            self._routers.begin_pass()
            with self._device.autocast():
                objective, loss = objective_and_loss(
                    self._model,
                    inputs,
                    targets,
                    segments,
                    z_loss_coefficient=self._training.z_loss_coefficient,
                )
            whole = objective / num_targets
            coefficient = self._training.router_aux_loss_coefficient
            balance = self._routers.end_pass()
            if coefficient and balance is not None:
                whole = whole + coefficient * fraction * balance
            scaled = whole if self.scaler is None else self.scaler.scale(whole)
            scaled.backward()  # type: ignore[no-untyped-call]
            return loss / num_targets

    def _update(self, loss: Tensor) -> Tensor:
        limit = self._training.max_grad_norm
        gradients = [each.grad for each in self._parameters if each.grad is not None]
        if self.scaler is not None:
            # With loss scaling, gradients overflow occasionally; the scaler then skips the step and
            # halves the scale. Only a non-finite loss indicates a diverged run.
            torch.maximum(self._found_inf, (~loss.isfinite()).float(), out=self._found_inf)
            # The scaler cannot read the flag, but it skips the update if a gradient is NaN.
            gradients[0].masked_fill_(self._found_inf > 0, float("nan"))
            self.scaler.unscale_(self._optimizer)
            # Clips in place, because GradScaler uses the optimizer's attribute `grad_scale` itself.
            norm = clip_grad_norm_(self._parameters, NO_CLIPPING if limit is None else limit)
            self.scaler.step(self._optimizer)
            self.scaler.update()
            return norm
        norm = get_total_norm(gradients)
        bad = ~(loss.isfinite() & norm.isfinite())
        torch.maximum(self._found_inf, bad.float(), out=self._found_inf)
        # An optimizer that applies `grad_scale` itself saves a pass over all gradients.
        grad_scale = None if limit is None else ((norm + CLIPPING_EPSILON) / limit).clamp(min=1.0)
        guarded_step(
            self._optimizer,
            applies_grad_scale=OPTIMIZERS[self._training.optimizer].applies_grad_scale,
            grad_scale=grad_scale,
            found_inf=self._found_inf,
        )
        return norm
