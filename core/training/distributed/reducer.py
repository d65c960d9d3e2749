"""Data-parallel reduction: sums gradients, losses and router statistics over the ranks.

A rank is one process of a run on several devices. All ranks have equal weights. Each rank computes
the gradients for its own rows of the batch. The ranks sum the gradients, and each rank makes the
same update. So the weights stay equal, and no rank sends weights.
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
from core.training.model.moe.experts import RouterStatistics

T = TypeVar("T")

ALIGNED_ELEMENTS = 16
"""Number of float32 elements in a cache line (64 bytes). Each gradient starts at a cache line,
because vectorised kernels need this for full speed."""
INTERFACE_VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
LOOPBACK = "127.0.0.1"


class GradientReducer:
    """Sums the gradients, the loss and the router statistics over all ranks.

    The gradients are views of one flat buffer. The end of the buffer has the loss and the router
    statistics. So a step needs only one all-reduce, and gradients are not copied.
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
        """The rows of this rank in a batch of `count` sequences; may be empty."""
        begin, end = (count * rank // self._num_ranks for rank in (self.rank, self.rank + 1))
        return slice(begin, end)

    def clear(self) -> None:
        """Zeroes the gradients and makes them views of the buffer."""
        self._sums.zero_()
        for parameter, view in zip(self._parameters, self._views, strict=True):
            if parameter.grad is not view:
                parameter.grad = view

    def add_up(self, loss: Tensor, routers: RouterStatistics) -> Tensor:
        """Sums gradients, loss and router statistics over the ranks; returns the summed loss.

        All ranks must call this method. The host does not wait for a GPU.
        """
        self._measured[0] = loss
        self._measured[1:] = routers.sums()
        distributed.all_reduce(self._sums)
        measured = self._measured.clone()
        routers.replace(measured[1:])
        return measured[0]

    def part_of(self, batches: Iterable[T]) -> Iterator[T]:
        """The batches of this rank. With n ranks, a rank gets every n-th batch."""
        return islice(batches, self.rank, None, self._num_ranks)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Sums values over the ranks. All ranks must call it. Waits for the device."""
        sums = values.to(self._torch_device)
        distributed.all_reduce(sums)
        return sums.cpu()


def seed_step(seed: int, *, step: int, rank: int) -> None:
    """Seeds the random generators of dropout from `seed`, `step` and `rank`.

    So the ranks draw different masks, and a resumed run needs no random states of other ranks. The
    function seeds the generators of the CPU and of this rank's GPU directly: `torch.manual_seed`
    would seed all devices, which takes 0.14 ms.
    """
    (state,) = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)
    torch.default_generator.manual_seed(int(state))
    if torch.cuda.is_available():
        torch.cuda.manual_seed(int(state))


def join_group(device: Device, *, rank: int, num_ranks: int, rendezvous: Path) -> None:
    """Joins the process group of this machine; returns when all ranks have joined.

    The ranks connect through the file `rendezvous`, which may be removed afterwards. Sockets listen
    only on the loopback interface; torch's TCP store would listen on all interfaces.
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
    distributed.all_reduce(torch.zeros(1, device=device.torch_device))  # connects all ranks


def _loopback_interface() -> str:
    for name, addresses in psutil.net_if_addrs().items():
        if any(
            address.family == socket.AF_INET and address.address == LOOPBACK
            for address in addresses
        ):
            return str(name)
    raise OSError(f"no network interface has the address {LOOPBACK}")
