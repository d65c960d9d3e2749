"""Prepares an attempt of a run: compiles layers and probes micro-batch sizes.

To probe a micro-batch means to run one pass, which shows whether it fits into memory.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from core.spec.job import JobSpec
from core.training.components import Components
from core.training.distributed.ranks import Ranks
from core.training.execution.compiled import compile_layers, uncompile_layers
from core.training.execution.device import Device
from core.training.execution.micro_batch import MicroBatch
from core.training.execution.plan import (
    CHECKPOINTING_WARNING,
    ExecutionPlan,
    checkpointed_micro_batch,
)
from core.training.saving.resume import LoopState, ResumePoint


class Probe:
    """Prepares all ranks for the first step of an attempt."""

    def __init__(
        self,
        spec: JobSpec,
        components: Components,
        ranks: Ranks,
        device: Device,
        vocab_size: int,
        warn: Callable[[str, str], None],
    ) -> None:
        self.execution_plan: ExecutionPlan = components.execution_plan
        """At first the plan with which the components were built; probing may replace it."""
        self._spec, self._training, self._vocab_size = spec, spec.training, vocab_size
        self._components, self._ranks, self._device, self._warn = components, ranks, device, warn
        self._is_found = False

    @property
    def is_needed(self) -> bool:
        """True if layers are compiled, or a micro-batch has to be probed on a GPU."""
        return self.execution_plan.compile or (self._is_automatic and not self._is_found)

    @property
    def _is_automatic(self) -> bool:
        return self._training.micro_batch_size == "auto" and self._device.is_cuda

    def resume(self, point: ResumePoint | None) -> None:
        """Restores a resume point on all ranks; if `point` is None, the run stays at step 0."""
        if point is not None:
            self._components.restore(point)
            self._keep(point.state)
        self._ranks.join(self._device)
        self._ranks.resume(point.folder if point else None, self.execution_plan.micro_batch)

    def _keep(self, state: LoopState) -> None:
        """Uses the micro-batch size of `state`, so that gradients are summed in the same order."""
        size = state.micro_batch_size
        # The size may come from a run with another number of devices. It is used only if it divides
        # the number of sequences of each device.
        divides = size is not None and self._training.device_batch_size % size == 0
        if self._training.micro_batch_size == "auto" and size is not None and divides:
            self._set(
                MicroBatch(
                    size, state.gradient_checkpointing or self.execution_plan.gradient_checkpointing
                )
            )
            self._is_found = True

    def note(self, state: LoopState) -> None:
        """Records the micro-batch configuration that `resume` reads."""
        state.micro_batch_size = self.execution_plan.micro_batch_size
        state.gradient_checkpointing = self.execution_plan.gradient_checkpointing

    def run(self, compile_cache: Path | None) -> None:
        """Compiles the layers, and reduces the micro-batch until a pass fits into memory.

        Raises:
            torch.OutOfMemoryError: If a pass does not fit and the micro-batch cannot be reduced:
                either it is already the smallest one, or the spec gives the size of micro-batches.
        """
        if self.execution_plan.compile:
            compile_layers(self._components.model, cache=compile_cache)
        while True:
            try:
                self._components.stepper.probe(self._training.seq_length)
                self._ranks.probe(
                    self.execution_plan.micro_batch, is_compiled=self.execution_plan.compile
                )
                if self.execution_plan.cuda_graph:
                    self._capture()
                return
            except torch.OutOfMemoryError:
                micro_batch = self._smaller()
                if micro_batch is None:
                    raise
                self._set(micro_batch)
            except torch._dynamo.exc.TorchDynamoException as error:
                reason = str(error).partition("\n")[0]
                self._warn("not_compiled", f"torch.compile failed and is not used: {reason}")
                uncompile_layers(self._components.model)
                self.execution_plan = replace(self.execution_plan, compile=False, cuda_graph=False)

    def _capture(self) -> None:
        try:
            self._components.stepper.capture(self._training.seq_length)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            message = f"CUDA graphs are not used, because the capture failed: {reason}"
            self._warn("not_captured", message)
            self.execution_plan = replace(self.execution_plan, cuda_graph=False)

    def _smaller(self) -> MicroBatch | None:
        """The next smaller configuration: fewer sequences, then gradient checkpointing.

        Returns None if there is none, or if the spec gives the size of micro-batches.
        """
        if self._training.micro_batch_size != "auto":
            return None
        micro_batch = self.execution_plan.micro_batch.smaller(self._training.device_batch_size)
        if micro_batch is None and not self.execution_plan.gradient_checkpointing:
            self._warn(*CHECKPOINTING_WARNING)
            return checkpointed_micro_batch(self._spec, self._device, self._vocab_size)
        return micro_batch

    def _set(self, micro_batch: MicroBatch) -> None:
        self._components.use_micro_batch(micro_batch)
        self.execution_plan = replace(
            self.execution_plan,
            micro_batch_size=micro_batch.micro_batch_size,
            gradient_checkpointing=micro_batch.gradient_checkpointing,
            cuda_graph=self.execution_plan.cuda_graph and not micro_batch.gradient_checkpointing,
        )
