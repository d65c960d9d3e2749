"""Sparse computation of Llama 4's experts.

The module of transformers computes every expert for every token. Then it multiplies by zero the
results of the experts that were not chosen. `SparseMixture` sorts the tokens by expert and computes
only the chosen experts. With 16 experts and one expert per token, this is a sixteenth of the
products. Both modules have the same parameters and compute the same function, so plain transformers
loads the checkpoints.

Shapes: N tokens, k experts per token, E experts, D hidden size, F intermediate size, L layers,
M rows sorted by expert (N k, and padding rows).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from core.training.execution.compiled import outside_compilation
from core.training.model.attention.blocks import product_dtype
from core.training.model.moe.grouped import Groups, count_choices, expert_mlp, read_distinct


class RouterStatistics:
    """Expert choices and balancing losses of all routers in the micro-batches of a step.

    Routers are recorded only between `begin_pass` and `end_pass`, so that a layer that is
    recomputed in the backward pass is not counted twice.
    """

    def __init__(self, *, layers: int = 0, experts: int = 0) -> None:
        self._shape = (layers, experts)
        self._is_open = False
        self._counts: list[Tensor] = []
        self._balance: list[Tensor] = []
        self._step: list[tuple[Tensor, Tensor]] = []

    def clear(self) -> None:
        """Clears the statistics of the step."""
        self._step.clear()

    def begin_pass(self) -> None:
        """Starts recording the forward pass of a micro-batch."""
        self._is_open = True
        self._counts, self._balance = [], []

    def record(self, counts: Tensor, balance: Tensor) -> None:
        """Records the choices of a layer, (E,) float32, and its balancing loss, a scalar.

        Ignores a layer that is recomputed in the backward pass. The layer must still compute the
        balancing loss, because the gradient flows through the recomputed tensors.
        """
        if self._is_open:
            self._counts.append(counts)
            self._balance.append(balance)

    def end_pass(self) -> Tensor | None:
        """Stops recording; returns the layers' mean balancing loss, or None without experts."""
        self._is_open = False
        if not self._counts:
            return None
        balance = torch.stack(self._balance).mean()
        self._step.append((torch.stack(self._counts), balance.detach()))  # (L, E)
        return balance

    def newest(self) -> tuple[Tensor, Tensor] | None:
        """Choices (L, E) and balancing loss of the newest pass; None without experts."""
        return self._step[-1] if self._step else None

    def add(self, statistics: tuple[Tensor, Tensor]) -> None:
        """Adds the choices and the balancing loss of a pass that a CUDA graph computed.

        Copies the tensors, because the next launch of the graph overwrites them.
        """
        counts, balance = statistics
        self._step.append((counts.clone(), balance.clone()))

    @property
    def num_sums(self) -> int:
        """Number of elements of `sums`."""
        layers, experts = self._shape
        return layers * experts + 2 if experts else 0

    def sums(self) -> Tensor:
        """The statistics of this rank that are summed over all ranks, (num_sums,) float32.

        They are the L E counts of choices, the summed balancing losses and the number of passes.
        """
        if not self._step:
            return torch.zeros(self.num_sums)
        counts = torch.stack([counts for counts, _ in self._step]).sum(dim=0)  # (L, E)
        balance = torch.stack([loss for _, loss in self._step]).sum()
        passes = torch.full_like(balance, len(self._step))
        return torch.cat([counts.flatten(), balance[None], passes[None]])

    def replace(self, sums: Tensor) -> None:
        """Replaces this rank's statistics of the step by those of all ranks.

        `sums` is the result of the method `sums`, summed over the ranks.
        """
        if self.num_sums:
            counts = sums[:-2].view(self._shape)  # (L, E)
            self._step = [(counts, sums[-2] / sums[-1])]

    def metrics(self) -> dict[str, Tensor]:
        """The metrics of the step by name, as device tensors; empty without experts."""
        if not self._step:
            return {}
        counts = torch.stack([counts for counts, _ in self._step]).sum(dim=0)  # (L, E)
        shares = counts / counts.sum(dim=1, keepdim=True)
        return {
            "experts/max_load_share": shares.amax(),
            "experts/balance_loss": torch.stack([loss for _, loss in self._step]).mean(),
        }


def use_sparse_experts(model: PreTrainedModel) -> RouterStatistics:
    """Replaces each mixture of experts in the model by a `SparseMixture`, if not yet done.

    Returns the statistics that all of them record; empty if the model has no experts.
    """
    mixed = [layer for layer in model.model.layers if getattr(layer, "is_moe_layer", False)]
    if mixed and isinstance(mixed[0].feed_forward, SparseMixture):
        return mixed[0].feed_forward.statistics
    experts = mixed[0].feed_forward.router.weight.shape[0] if mixed else 0
    statistics = RouterStatistics(layers=len(mixed), experts=experts)
    for layer in mixed:
        layer.feed_forward = SparseMixture(layer.feed_forward, statistics)
    return statistics


class SparseMixture(nn.Module):
    """Replaces a `Llama4TextMoe`.

    Submodules keep their names, because checkpoints contain these names.
    """

    def __init__(self, mixture: Any, statistics: RouterStatistics) -> None:  # untyped module
        super().__init__()
        self.experts, self.router = mixture.experts, mixture.router
        self.shared_expert = mixture.shared_expert
        self.top_k: int = mixture.top_k
        self.statistics = statistics

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs (N, D) for hidden states (B, T, D), and the router's logits (N, E)."""
        rows = hidden_states.flatten(0, -2)  # (N, D)
        logits = functional.linear(rows, self.router.weight)  # (N, E)
        top, chosen = logits.topk(self.top_k, dim=1)  # (N, k) both
        scores = top.float().sigmoid().to(rows.dtype)  # (N, k)
        route = _routed if rows.is_cuda else _routed_eager
        routed = route(rows, scores, chosen, self.experts)  # (N, D)
        counts = count_choices(chosen, logits.shape[1]).float()  # (E,)
        self._record(counts, balance_loss(logits, counts / chosen.numel()))
        return self.shared_expert(rows) + routed, logits

    @outside_compilation
    def _record(self, counts: Tensor, balance: Tensor) -> None:
        self.statistics.record(counts, balance)


def balance_loss(logits: Tensor, share: Tensor) -> Tensor:
    """The balancing loss of one layer: E sum_e f_e P_e.

    f_e is the share of expert e in all choices, and P_e is the mean softmax probability of expert
    e. The loss is 1 if tokens are spread evenly, and E if one expert gets all tokens. The gradient
    flows only through P (Fedus et al. 2022, "Switch Transformers", equations 4 to 6).

    Args:
        logits: (N, E), logits of the router.
        share: (E,), the shares f_e.
    """
    probability = logits.float().softmax(dim=1).mean(dim=0)  # (E,)
    return logits.shape[1] * (share.detach() * probability).sum()


def _routed(rows: Tensor, scores: Tensor, chosen: Tensor, experts: Any) -> Tensor:
    """The sum of the outputs of each token's chosen experts, (N, D).

    The input of an expert is the token multiplied by its score, as in the module of transformers.

    Args:
        rows: (N, D).
        scores: (N, k).
        chosen: (N, k) int64.
        experts: `gate_up_proj` (E, D, 2 F), `down_proj` (E, F, D) and `act_fn`.
    """
    top_k = chosen.shape[1]
    by_expert = chosen.flatten().argsort(stable=True)  # (N k,)
    tokens = by_expert // top_k  # (N k,)
    dtype = product_dtype(experts.gate_up_proj)
    groups = Groups.of(chosen, experts.gate_up_proj.shape[0], padded=dtype.itemsize < 4)
    if top_k == 1:
        # Each token occurs once, so the order is a permutation. `back` is its inverse.
        back = torch.empty_like(by_expert).scatter_(0, by_expert, groups.places)
        sorted_rows = read_distinct((rows * scores).to(dtype), tokens)  # (N, D)
    else:
        sorted_rows = (rows[tokens] * scores.flatten()[by_expert, None]).to(dtype)  # (N k, D)
    entering = groups.spread(sorted_rows)  # (M, D)
    leaving = expert_mlp(  # (M, D)
        entering, experts.gate_up_proj, experts.down_proj, experts.act_fn, groups.ends
    )
    if top_k == 1:
        return read_distinct(leaving, back)
    leaving = leaving[groups.places].to(rows.dtype)  # (N k, D)
    return torch.zeros_like(rows).index_add_(0, tokens, leaving)


_routed_eager = outside_compilation(_routed)
"""`_routed` for a CPU. It is excluded from torch.compile, because it reads the number of tokens of
each expert, which changes in every step."""
