"""What comes before the first step of an attempt: compiling, and finding what fits by trying."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from core.spec import JobSpec
from core.training.choices import CHECKPOINTING_WARNING, Choices, checkpointed_fit
from core.training.compiled import compile_layers, uncompile_layers
from core.training.device import Device
from core.training.fit import Fit
from core.training.parts import Parts
from core.training.ranks import Ranks
from core.training.resume import LoopState, ResumePoint


class WarmUp:
    """Brings the parts of rank 0, and the other ranks with it, to where steps can be taken."""

    def __init__(
        self,
        spec: JobSpec,
        parts: Parts,
        ranks: Ranks,
        device: Device,
        vocab_size: int,
        warn: Callable[[str, str], None],
    ) -> None:
        self.choices: Choices = parts.choices
        """As the parts were built with; trying may change them."""
        self._spec, self._training, self._vocab_size = spec, spec.training, vocab_size
        self._parts, self._ranks, self._device, self._warn = parts, ranks, device, warn
        self._is_found = False

    @property
    def is_needed(self) -> bool:
        """True where layers are compiled, or a micro-batch has to be tried on a GPU."""
        return self.choices.compile or (self._is_automatic and not self._is_found)

    @property
    def _is_automatic(self) -> bool:
        return self._training.micro_batch_size == "auto" and self._device.is_cuda

    def resume(self, point: ResumePoint | None) -> None:
        """Goes to a resume point, all ranks together; None stays at step 0."""
        if point is not None:
            self._parts.go_to(point)
            self._keep(point.state)
        self._ranks.join(self._device)
        self._ranks.resume(point.folder if point else None, self.choices.fit)

    def _keep(self, state: LoopState) -> None:
        """Takes what the run began with, so that it adds up in the same order."""
        size = state.micro_batch_size
        # Found on fewer devices it may be more than the share of this one.
        fits = size is not None and self._training.device_batch_size % size == 0
        if self._training.micro_batch_size == "auto" and size is not None and fits:
            self._set(
                Fit(size, state.gradient_checkpointing or self.choices.gradient_checkpointing)
            )
            self._is_found = True

    def note(self, state: LoopState) -> None:
        """Writes down what `resume` takes."""
        state.micro_batch_size = self.choices.micro_batch_size
        state.gradient_checkpointing = self.choices.gradient_checkpointing

    def run(self, compile_cache: Path | None) -> None:
        """Compiles the layers, and finds what fits by trying.

        Raises:
            torch.OutOfMemoryError: If nothing smaller is left, or the spec forbids it.
        """
        if self.choices.compile:
            compile_layers(self._parts.model, cache=compile_cache)
        while True:
            try:
                self._parts.stepper.warm_up(self._training.seq_length)
                self._ranks.warm_up(self.choices.fit, is_compiled=self.choices.compile)
                if self.choices.cuda_graph:
                    self._capture()
                return
            except torch.OutOfMemoryError:
                fit = self._smaller()
                if fit is None:
                    raise
                self._set(fit)
            except torch._dynamo.exc.TorchDynamoException as error:
                reason = str(error).partition("\n")[0]
                self._warn("not_compiled", f"torch.compile failed and is left out: {reason}")
                uncompile_layers(self._parts.model)
                self.choices = replace(self.choices, compile=False, cuda_graph=False)

    def _capture(self) -> None:
        try:
            self._parts.stepper.capture(self._training.seq_length)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            self._warn("not_captured", f"steps are launched kernel by kernel: {reason}")
            self.choices = replace(self.choices, cuda_graph=False)

    def _smaller(self) -> Fit | None:
        """Fewer sequences; below one of them, activations that are computed again."""
        if self._training.micro_batch_size != "auto":
            return None
        fit = self.choices.fit.smaller(self._training.device_batch_size)
        if fit is None and not self.choices.gradient_checkpointing:
            self._warn(*CHECKPOINTING_WARNING)
            return checkpointed_fit(self._spec, self._device, self._vocab_size)
        return fit

    def _set(self, fit: Fit) -> None:
        self._parts.take_fit(fit)
        self.choices = replace(
            self.choices,
            micro_batch_size=fit.micro_batch_size,
            gradient_checkpointing=fit.gradient_checkpointing,
            cuda_graph=self.choices.cuda_graph and not fit.gradient_checkpointing,
        )
