"""The forward and backward pass of a micro-batch as one CUDA graph.

The passes of a small model launch over a thousand kernels. Each kernel takes a few microseconds, so
the GPU runs the kernels faster than Python launches them. A CUDA graph is captured once, and then
launches all kernels at once.

Shapes: b sequences in a micro-batch, T tokens.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from core.training.model.moe.experts import RouterStatistics

WARM_UP_PASSES = 2
"""Number of passes before the capture. They set up kernels, which must not happen in a capture."""


class CudaGraph:
    """The forward and backward pass of b sequences.

    All launches write their gradients to the same tensors.
    """

    def __init__(
        self,
        run: Callable[[Tensor, Tensor], Tensor],
        *,
        parameters: Sequence[nn.Parameter],
        routers: RouterStatistics,
        shape: tuple[int, int],
        accumulates: bool,
    ) -> None:
        """Captures `run`.

        Args:
            run: Runs the forward and backward pass for inputs and targets, both (b, T) int64 on the
                GPU. Returns the contribution of this micro-batch to the loss, a scalar.
            parameters: Parameters for which `run` computes gradients.
            routers: Statistics that `run` records.
            shape: (b, T).
            accumulates: Whether a step has several micro-batches, so that gradients must be added
                up. If not, each launch overwrites the gradients, which saves clearing and reading
                them.

        Raises:
            RuntimeError: If an operation in `run` cannot be captured.
        """
        self._parameters, self._routers, self._accumulates = parameters, routers, accumulates
        self._inputs = torch.zeros(shape, dtype=torch.int64, device="cuda")
        self._targets = torch.zeros_like(self._inputs)
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_PASSES):
                run(self._inputs, self._targets)
        torch.cuda.current_stream().wait_stream(stream)
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter) if accumulates else None
        self._graph = torch.cuda.CUDAGraph()
        routers.clear()
        with torch.cuda.graph(self._graph):
            self._loss = run(self._inputs, self._targets)
        self._gradients = [parameter.grad for parameter in parameters]
        self._routing = routers.newest()

    def begin_step(self) -> None:
        """Clears accumulated gradients and assigns them to the parameters."""
        if self._accumulates:
            torch._foreach_zero_([each for each in self._gradients if each is not None])
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient

    def launch(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Launches the graph for inputs and targets (b, T), without waiting for the GPU.

        Returns the loss. The next launch overwrites it.
        """
        self._inputs.copy_(inputs, non_blocking=True)
        self._targets.copy_(targets, non_blocking=True)
        self._graph.replay()
        if self._routing is not None:
            self._routers.add(self._routing)
        return self._loss
