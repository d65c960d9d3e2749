"""Packs token sequences into rows, in which sequences share their first tokens.

Many texts begin with the same tokens: the candidates of an item, and also different items. A row is
a set of trees in depth-first order. Each sequence is a path from a root, and the attention mask
lets a token attend only to itself and to the tokens before it on its path
(`core.evaluation.engine`). This module does not import torch.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

KEYS_PER_TOKEN = 128
"""The constant K of the cost model, by which `_joins` decides whether a sequence joins a row: a row
of n tokens takes a time proportional to n (K + n). In the brackets, K is the work per token that
does not depend on the length of the row, and n is the work per token of attention, which compares
the token with all n tokens of the row. With a larger K, more sequences join a row: there are fewer
tokens in all, but each token is compared with more tokens. BLiMP has 1,208,000 tokens without
packing. With packing, it has 811,000 tokens for K = 64, 784,000 for K = 128 and 745,000 for K =
1024, and each token is compared with 27, 38 or 140 tokens (benchmarks/README.md)."""
LONGEST_ROW = 4096
"""Maximum number of tokens of a row with branches. An attention mask has the square of this number
of entries."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A token sequence with scored tokens at its end."""

    ids: "array[int]"
    first: int
    """Index of the first scored token, at least 1. The last token is only scored: the model does
    not read it."""
    slot: int
    """Index of the sum (the slot) to which the log-probabilities of the scored tokens are added."""
    is_relative: bool = False
    """Whether the logit of the first scored token replaces its log-probability. This is possible if
    the value is only compared with values of other tokens after the same prefix, because all of
    them have the same softmax normalizer."""


@dataclass(slots=True)
class Row:
    """Input tokens, and the predictions that are read."""

    ids: "array[int]" = field(default_factory=lambda: array("i"))
    positions: "array[int]" = field(default_factory=lambda: array("i"))
    """Position of each token in its sequence."""
    ends: "array[int]" = field(default_factory=lambda: array("i"))
    """For each token i: the index after the last token that attends to it. The tokens from i to
    `ends[i] - 1` attend to token i."""
    indices: "array[int]" = field(default_factory=lambda: array("i"))
    """Indices of the tokens after which a prediction is read."""
    targets: "array[int]" = field(default_factory=lambda: array("i"))
    """For each of the `indices`: the id of the token that is scored."""
    slots: "array[int]" = field(default_factory=lambda: array("i"))
    """For each of the `indices`: the slot to which the log-probability is added."""
    relative: "array[int]" = field(default_factory=lambda: array("b"))
    """For each of the `indices`: 1 if the logit replaces the log-probability, otherwise 0 (see
    `Chain.is_relative`)."""

    @property
    def is_chain(self) -> bool:
        """Whether the row is a single sequence."""
        return not self.ids or self.positions[-1] == len(self.ids) - 1


@dataclass(frozen=True, slots=True)
class Encoded:
    """The tokens of a text."""

    ids: Sequence[int]
    first_scored: int
    """Index of the first scored token."""


def encode(tokenizer: object, texts: Sequence[str], lengths: Sequence[int]) -> list[Encoded]:
    """Tokenizes texts, and finds the tokens that are scored.

    `lengths` gives for each text the number of characters at its end that are scored. A token is
    scored if it overlaps these characters. The tokenizer adds its default special tokens
    (official pipeline: dataset.py, `process_causal_sentences`).
    """
    if not texts:
        return []
    assert callable(tokenizer)
    found = tokenizer(list(texts), return_offsets_mapping=True)
    encoded = []
    for text, length, ids, offsets in zip(
        texts, lengths, found["input_ids"], found["offset_mapping"], strict=True
    ):
        start = len(text) - length + (offsets[0][0] if offsets else 0)
        # Offsets ascend, except those of special tokens: they are (0, 0), and special tokens are
        # never scored. The loop ends at the first special token after a scored token.
        first = next((i for i, (_, end) in enumerate(offsets) if end > start), len(ids))
        last = first
        while last < len(ids) and offsets[last][1] > start:
            last += 1
        encoded.append(Encoded(ids[:last], first))
    return encoded


def candidate_chains(candidates: Sequence[Encoded], *, slot: int) -> list[Chain]:
    """The chains of an item. The candidates have consecutive slots.

    The sums omit values that are equal for all candidates, because only differences between
    candidates matter. These values are the log-probabilities of the first tokens that all
    candidates share, and the softmax normalizer of the first token in which they differ.

    Args:
        candidates: Candidates of one item.
        slot: Slot of the first candidate.
    """
    shared = _shared(candidates)
    is_relative = shared > 0 and all(
        each.first_scored <= shared < len(each.ids) for each in candidates
    )
    chains = []
    for number, each in enumerate(candidates):
        first = max(1, shared, each.first_scored)
        if first < len(each.ids):
            chains.append(Chain(array("i", each.ids), first, slot + number, is_relative))
    return chains


def _shared(candidates: Sequence[Encoded]) -> int:
    """Number of leading tokens that all candidates share, and that are scored in all or in none."""
    shortest = min(len(each.ids) for each in candidates)
    first, *others = candidates
    for index in range(shortest):
        for other in others:
            if other.ids[index] != first.ids[index]:
                return index
            if (index >= first.first_scored) is not (index >= other.first_scored):
                return index
    return shortest


def tail_chain(
    ids: Sequence[int], offsets: Sequence[tuple[int, int]], *, begin: int, slot: int
) -> Chain | None:
    """The chain that scores the tokens that end after character `begin`, but never the first token.

    Returns:
        None if there is no such token.
    """
    scored = [index for index, (_, end) in enumerate(offsets) if end > begin and index > 0]
    if not scored:
        return None
    return Chain(array("i", ids[: scored[-1] + 1]), scored[0], slot)


def pack_rows(chains: Iterable[Chain], *, branches: bool) -> list[Row]:
    """Packs all chains into rows; returns the rows, the shortest first.

    Args:
        chains: The token sequences, in any order.
        branches: Whether a row may contain more than one path. If not, chains share a row only if
            each is the beginning of the next.
    """
    rows: list[Row] = []
    previous = array("i")
    path: list[int] = []  # indices of the tokens of `previous` in the last row
    # In byte order, chains with the same first tokens follow each other, the shortest first. No
    # earlier chain has a longer common prefix with a chain than the one directly before it, so one
    # comparison per chain is enough.
    for chain in sorted(chains, key=lambda chain: chain.ids[:-1].tobytes()):
        ids = chain.ids[:-1]
        common = _common(previous, ids)
        if not rows or not _joins(rows[-1], common, len(ids), branches=branches):
            rows.append(Row())
            common = 0
        row = rows[-1]
        new = range(len(row.ids), len(row.ids) + len(ids) - common)
        path = [*path[:common], *new]
        row.ids.extend(ids[common:])
        row.positions.extend(range(common, len(ids)))
        row.ends.extend(new)
        for index in path:
            row.ends[index] = new.stop
        _add_reads(row, chain, path)
        previous = ids
    rows.sort(key=lambda row: len(row.ids))
    return rows


def _add_reads(row: Row, chain: Chain, path: Sequence[int]) -> None:
    """Adds the predictions of a chain. `path` has the indices of its tokens in the row."""
    for index in range(chain.first, len(chain.ids)):
        row.indices.append(path[index - 1])
        row.targets.append(chain.ids[index])
        row.slots.append(chain.slot)
        row.relative.append(chain.is_relative and index == chain.first)


def _joins(row: Row, common: int, length: int, *, branches: bool) -> bool:
    """Whether adding a chain to the row takes no more time than a new row, by the cost model.

    Args:
        row: The last row.
        common: Number of leading tokens that the row already has.
        length: Number of tokens of the chain.
        branches: Whether the row may have several paths.
    """
    if not branches:
        return common == len(row.ids)
    new, seen = length - common, len(row.ids)
    if seen + new > LONGEST_ROW:
        return False
    return new * (KEYS_PER_TOKEN + 2 * seen + new) <= length * (KEYS_PER_TOKEN + length)


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """Number of leading tokens that both sequences share."""
    for index, (mine, other) in enumerate(zip(left, right, strict=False)):
        if mine != other:
            return index
    return min(len(left), len(right))
