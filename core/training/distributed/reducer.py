"""A rank's share of each step, and the one sum over all ranks that makes the step whole.

The ranks hold equal weights, take their rows of the same batch, and add up the gradients of the
sums of their losses; each then makes the same update. Equal weights stay equal without being sent.

Letters: B sequences in the batch, P parameters.
"""

import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil
import torch
from torch import Tensor, distributed, nn

from core.training.execution.device import Device
from core.training.moe.experts import RouterStatistics

T = TypeVar("T")

ALIGNED_ELEMENTS = 16
"""Each gradient begins at a cache line, 64 bytes, so that vectorised kernels take it whole."""
INTERFACE_VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
LOOPBACK = "127.0.0.1"


class GradientReducer:
    """What one of several ranks contributes to a step.

    The gradients are views of one flat buffer, behind which lie the loss and what the routers of a
    mixture of experts counted: a step costs one all-reduce, and none of its results is copied.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        *,
        rank: int,
        num_ranks: int,
        device: Device,
        num_routed: int,
    ) -> None:
        """Takes float32 parameters; `num_routed` is the length of `RouterStatistics.sums`."""
        self.rank, self._num_ranks = rank, num_ranks
        self._parameters = parameters
        self._torch_device = device.torch_device
        begins, size = [], 0
        for parameter in parameters:
            begins.append(size)
            size += -(-parameter.numel() // ALIGNED_ELEMENTS) * ALIGNED_ELEMENTS
        self._sums = torch.zeros(size + 1 + num_routed, device=device.torch_device)
        self._views = [
            self._sums[begin : begin + parameter.numel()].view_as(parameter)
            for begin, parameter in zip(begins, parameters, strict=True)
        ]
        self._measured = self._sums[size:]  # (1 + num_routed,)

    def rows(self, count: int) -> slice:
        """Which of the `count` sequences of a step are this rank's; none, where there are few."""
        begin, end = (count * rank // self._num_ranks for rank in (self.rank, self.rank + 1))
        return slice(begin, end)

    def clear(self) -> None:
        """Makes the gradients zero, and views of the buffer."""
        self._sums.zero_()
        for parameter, view in zip(self._parameters, self._views, strict=True):
            if parameter.grad is not view:
                parameter.grad = view

    def add_up(self, loss: Tensor, routers: RouterStatistics) -> Tensor:
        """Sums gradients, loss and router statistics over the ranks; the loss of the whole step.

        All ranks must call it. On a GPU nothing is read back, and the host does not wait.
        """
        self._measured[0] = loss
        self._measured[1:] = routers.sums()
        distributed.all_reduce(self._sums)
        measured = self._measured.clone()
        routers.replace(measured[1:])
        return measured[0]

    def part_of(self, batches: Iterable[T]) -> Iterator[T]:
        """Every so many-th of them: together the ranks take all."""
        return islice(batches, self.rank, None, self._num_ranks)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Values on the CPU, summed over the ranks, which must all call it."""
        sums = values.to(self._torch_device)
        distributed.all_reduce(sums)
        return sums.cpu()


def seed_step(seed: int, *, step: int, rank: int) -> None:
    """Sets the random state that dropout draws from: a function of these three numbers alone.

    So the ranks draw differently, and a run that goes on needs no state of theirs. The two
    generators by themselves: `torch.manual_seed` sees to all devices and takes 0.14 ms.
    """
    (state,) = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)
    torch.default_generator.manual_seed(int(state))
    if torch.cuda.is_available():
        torch.cuda.manual_seed(int(state))


def join_group(device: Device, *, rank: int, num_ranks: int, rendezvous: Path) -> None:
    """Meets the other ranks of this machine; returns once all are there.

    They find each other through the file `rendezvous`, which may go afterwards, and no socket
    listens on another interface than loopback: torch's TCP store would listen on all.
    """
    for name in INTERFACE_VARIABLES:
        os.environ[name] = _loopback_interface()
    distributed.init_process_group(
        "nccl" if device.is_cuda else "gloo",
        store=distributed.FileStore(  # type: ignore[attr-defined]  # missing in its __all__
            str(rendezvous), num_ranks
        ),
        rank=rank,
        world_size=num_ranks,
        device_id=torch.device("cuda", rank) if device.is_cuda else None,
    )
    distributed.all_reduce(torch.zeros(1, device=device.torch_device))  # connects them all


def _loopback_interface() -> str:
    for name, addresses in psutil.net_if_addrs().items():
        if any(
            address.family == socket.AF_INET and address.address == LOOPBACK
            for address in addresses
        ):
            return str(name)
    raise OSError(f"no network interface has the address {LOOPBACK}")
