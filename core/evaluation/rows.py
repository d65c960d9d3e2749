"""Makes the token rows of a task, in which shared tokens occur only once. No torch.

The candidates of an item often begin with the same tokens. Their row contains the shared tokens
once, followed by a branch for each candidate; the attention mask separates the branches. The
log-probability of a shared token is the same for all candidates. It is left out, because only
differences between candidates matter. If the context of a word is the beginning of another row,
the word uses that row.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Row:
    """Input tokens, and the predictions that are read."""

    ids: "array[int]"
    shared: int
    """Number of leading tokens, to which all branches attend."""
    branches: tuple[int, ...]
    """Number of tokens of each branch. If empty, the row consists of its `shared` tokens."""
    indices: "array[int]" = field(default_factory=lambda: array("i"))
    """Indices of the tokens after which a prediction is read."""
    targets: "array[int]" = field(default_factory=lambda: array("i"))
    """For each of the `indices`: the token id whose log-probability is read."""
    slots: "array[int]" = field(default_factory=lambda: array("i"))
    """For each of the `indices`: the slot to which the log-probability is added."""

    def read(self, index: int, target: int, slot: int) -> None:
        """Requests that the log-probability of `target` after token `index` is added to `slot`."""
        self.indices.append(index)
        self.targets.append(target)
        self.slots.append(slot)


@dataclass(frozen=True, slots=True)
class Encoded:
    """The tokens of a text."""

    ids: Sequence[int]
    first_scored: int
    """Index of the first token whose log-probability counts."""


def encode(tokenizer: object, texts: Sequence[str], lengths: Sequence[int]) -> list[Encoded]:
    """Tokenizes texts. The tokens that overlap the last `lengths` characters of a text are scored.

    The tokenizer adds its default special tokens (official pipeline: dataset.py,
    `process_causal_sentences`).
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
        # never scored. The loop ends at the first special token after a scored one.
        first = next((i for i, (_, end) in enumerate(offsets) if end > start), len(ids))
        last = first
        while last < len(ids) and offsets[last][1] > start:
            last += 1
        encoded.append(Encoded(ids[:last], first))
    return encoded


def candidate_rows(candidates: Sequence[Encoded], *, slot: int, packs: bool) -> list[Row]:
    """Rows of an item. The sums of its candidates, up to a constant, go to `slot`, `slot + 1`, ...

    Args:
        candidates: Candidates of one item.
        slot: Slot of the first candidate.
        packs: Whether all candidates share one row.
    """
    shared = _shared(candidates)
    if packs and shared:
        row = Row(array("i", candidates[0].ids[:shared]), shared, ())
        branches = []
        for number, each in enumerate(candidates):
            branches.append(_add_branch(row, each, shared, slot + number))
        row.branches = tuple(branches)
        return [row] if row.indices else []
    rows = []
    for number, each in enumerate(candidates):
        row = Row(array("i", each.ids[:-1]), max(0, len(each.ids) - 1), ())
        for index in range(max(1, shared, each.first_scored), len(each.ids)):
            row.read(index - 1, each.ids[index], slot + number)
        if row.indices:
            rows.append(row)
    return rows


def _add_branch(row: Row, candidate: Encoded, shared: int, slot: int) -> int:
    """Appends the tokens of a candidate that are not shared; returns the number of new tokens."""
    begin = len(row.ids)
    branch = candidate.ids[shared:-1] if len(candidate.ids) > shared else []
    row.ids.extend(branch)
    for index in range(max(shared, candidate.first_scored), len(candidate.ids)):
        at = shared - 1 if index == shared else begin + index - shared - 1
        row.read(at, candidate.ids[index], slot)
    return len(branch)


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


def tail_row(
    ids: Sequence[int], offsets: Sequence[tuple[int, int]], *, begin: int, slot: int
) -> Row | None:
    """The row that scores the tokens that end after character `begin`, but never the first token.

    Returns:
        None if there is no such token.
    """
    scored = [index for index, (_, end) in enumerate(offsets) if end > begin and index > 0]
    if not scored:
        return None
    row = Row(array("i", ids[: scored[-1]]), scored[-1], ())
    for index in scored:
        row.read(index - 1, ids[index], slot)
    return row


def chain_rows(queries: Sequence[tuple[tuple[int, ...], int, int]]) -> list[Row]:
    """Rows that score one token after each context.

    Args:
        queries: Each has the tokens of a context, the target token and the slot. A context must not
            be empty.
    """
    by_context: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for context, target, slot in queries:
        by_context.setdefault(context, []).append((target, slot))
    rows: list[Row] = []
    longer: tuple[int, ...] = ()
    # In descending order, a context follows the longer contexts that start with it.
    for context in sorted(by_context, reverse=True):
        if longer[: len(context)] != context:
            longer = context
            rows.append(Row(array("i", context), len(context), ()))
        for target, slot in by_context[context]:
            rows[-1].read(len(context) - 1, target, slot)
    return rows
