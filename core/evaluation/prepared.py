"""Converts tasks to rows of tokens, once for all checkpoints with the same tokenizer.

A chain is a token sequence with scored tokens at its end. Chains are packed into rows, which the
model computes (`core.evaluation.rows`). A slot is an accumulator for log-probabilities, for example
for the sum of one candidate. Each row lists the slots to which its log-probabilities are added.
"""

import hashlib
import math
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from core.errors import EvaluationInvalid
from core.evaluation.aoa import Aoa, WordInContext
from core.evaluation.items import Item, ItemKind
from core.evaluation.reading import Reading, ReadingRow
from core.evaluation.registry import read_items, read_reading, read_words, recognise, task_files
from core.evaluation.rows import Chain, Row, candidate_chains, encode, pack_rows, tail_chain
from core.evaluation.summary import Summary, summarise_items, summarise_reading, summarise_words

KEPT_TOKENS = 5_000_000
"""Maximum number of tokens of all cached tasks together. A token takes about 80 bytes, including
its part of the text. The newest task is kept even if it alone has more tokens."""
ROWS_VERSION = 2
"""Increase it if a change of the code gives other rows for the same task. Sums that were saved for
the earlier rows are then ignored."""
TEXTS_AT_ONCE = 4096


class Contents(Protocol):
    """The items of a task, and how its scores are computed."""

    num_slots: int

    def chains(self, tokenizer: Any) -> list[Chain]:
        """The token sequences to compute; `tokenizer` is a tokenizer of transformers."""
        ...

    def summary(self, sums: Sequence[float], *, seconds: float) -> Summary:
        """The result and the predictions, computed from the sums of all slots."""
        ...


@dataclass(frozen=True)
class PreparedTask:
    """A task and its rows in ascending order of length."""

    contents: Contents
    rows: list[Row]
    fingerprint: str
    """Hash of the tokenizer, and of the names, sizes and modification times of the task files."""
    num_tokens: int


class PreparedTasks:
    """Cache of the most recently used tasks."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, PreparedTask] = OrderedDict()

    def get(self, task: Path, tokenizer: Any, *, packs: bool = True) -> PreparedTask:
        """The task, prepared for a tokenizer of transformers.

        Args:
            task: Folder of the task.
            tokenizer: Tokenizer of the model.
            packs: Whether a row may contain chains that differ after their first tokens; see
                `core.evaluation.engine.may_pack`.

        Raises:
            EvaluationInvalid: If a file is missing or cannot be read.
        """
        fingerprint = _fingerprint(task, tokenizer, packs)
        if fingerprint not in self._kept:
            contents = read_contents(task)
            rows = pack_rows(contents.chains(tokenizer), branches=packs)
            num_tokens = sum(len(row.ids) for row in rows)
            self._kept[fingerprint] = PreparedTask(contents, rows, fingerprint, num_tokens)
        self._kept.move_to_end(fingerprint)
        while len(self._kept) > 1 and self._num_tokens() > KEPT_TOKENS:
            self._kept.popitem(last=False)
        return self._kept[fingerprint]

    def _num_tokens(self) -> int:
        return sum(task.num_tokens for task in self._kept.values())


def read_contents(task: Path) -> Contents:
    """The items of a task.

    Raises:
        EvaluationInvalid: If a file is missing or cannot be read.
    """
    kind = recognise(task)
    files = task_files(task)
    if isinstance(kind, Reading):
        return Words(read_reading(files[0]))
    if isinstance(kind, Aoa):
        return WordsInContext(read_words(files[0]))
    return Choices(kind, [item for path in files for item in read_items(kind, path)])


class Choices:
    """Items with candidates from which the model chooses. Each candidate has a slot."""

    def __init__(self, kind: ItemKind, items: Sequence[Item]) -> None:
        self._kind, self._items = kind, items
        self.num_slots = sum(len(item.candidates) for item in items)

    def chains(self, tokenizer: Any) -> list[Chain]:
        """A chain for each candidate with at least one token to score."""
        chains: list[Chain] = []
        slot = 0
        for begin in range(0, len(self._items), TEXTS_AT_ONCE):
            items = self._items[begin : begin + TEXTS_AT_ONCE]
            candidates = [candidate for item in items for candidate in item.candidates]
            encoded = encode(
                tokenizer,
                [candidate.text for candidate in candidates],
                [candidate.completion_length for candidate in candidates],
            )
            at = 0
            for item in items:
                own = encoded[at : at + len(item.candidates)]
                chains += candidate_chains(own, slot=slot)
                at, slot = at + len(own), slot + len(own)
        return chains

    def summary(self, sums: Sequence[float], *, seconds: float) -> Summary:
        """Scores by subset and group."""
        return summarise_items(self._kind, self._items, self._by_item(sums), seconds=seconds)

    def margins(self, sums: Sequence[float]) -> dict[str, float]:
        """Difference in nats between the best and the second-best candidate, by prediction id."""
        found: dict[str, float] = {}
        counts: dict[str, int] = {}
        for item, values in zip(self._items, self._by_item(sums), strict=True):
            number = counts.get(item.subset, 0)
            counts[item.subset] = number + 1
            best, second = sorted(values, reverse=True)[:2]
            found[f"{item.subset}_{number}"] = best - second
        return found

    def _by_item(self, sums: Sequence[float]) -> list[Sequence[float]]:
        by_item, at = [], 0
        for item in self._items:
            by_item.append(sums[at : at + len(item.candidates)])
            at += len(item.candidates)
        return by_item


class Words:
    """The words of the reading-time task.

    Each word has two slots: one for itself, and one for the word before it.
    """

    def __init__(self, rows: Sequence[ReadingRow]) -> None:
        self._rows = rows
        self.num_slots = 2 * len(rows)

    def chains(self, tokenizer: Any) -> list[Chain]:
        """A chain for each token of a word, with its context."""
        chains = []
        for number, row in enumerate(self._rows):
            chains += _word_chains(tokenizer, row.context, row.word, 2 * number)
            if row.previous_context is not None:
                context, word = row.previous_context, row.previous_word
                chains += _word_chains(tokenizer, context, word, 2 * number + 1)
        return chains

    def summary(self, sums: Sequence[float], *, seconds: float) -> Summary:
        """The result of the regressions; the predictions are the surprisals."""
        previous = [
            math.nan if row.previous_context is None else -total
            for row, total in zip(self._rows, sums[1::2], strict=True)
        ]
        return summarise_reading(
            self._rows, [-total for total in sums[::2]], previous, seconds=seconds
        )


class WordsInContext:
    """The words of the age-of-acquisition task. Each pair of word and context has a slot."""

    def __init__(self, words: Sequence[WordInContext]) -> None:
        self._words = words
        self._without_context: set[int] = set()
        self.num_slots = len(words)

    def chains(self, tokenizer: Any) -> list[Chain]:
        """A chain for each text, as in the official pipeline (`process_causal_input`)."""
        chains = []
        for begin in range(0, len(self._words), TEXTS_AT_ONCE):
            words = self._words[begin : begin + TEXTS_AT_ONCE]
            found = tokenizer([each.text for each in words], return_offsets_mapping=True)
            for number, word in enumerate(words):
                chain = tail_chain(
                    found["input_ids"][number],
                    found["offset_mapping"][number],
                    begin=len(word.text) - len(word.word.strip()),
                    slot=begin + number,
                )
                if chain is None:
                    self._without_context.add(begin + number)
                else:
                    chains.append(chain)
        return chains

    def summary(self, sums: Sequence[float], *, seconds: float) -> Summary:
        """The mean log-probability; the predictions are the surprisals."""
        values = [
            None if slot in self._without_context else -total for slot, total in enumerate(sums)
        ]
        return summarise_words(self._words, values, seconds=seconds)


def _word_chains(tokenizer: Any, context: str, word: str, slot: int) -> list[Chain]:
    """The chains of a word after a context. Their log-probabilities add up to that of the word.

    As in the official pipeline (reading/evaluation_functions.py, `get_p2`), the word is tokenized
    on its own, without the space before it. For each of its tokens, the whole text before this
    token is then tokenized again.
    """
    pieces = tokenizer(word, add_special_tokens=False)["input_ids"]
    text, chains = context, []
    for number, piece in enumerate(pieces):
        decoded = tokenizer.decode(piece)
        target = piece
        if number > 0:
            again = tokenizer(decoded, add_special_tokens=False)["input_ids"]
            target = again[0] if again else piece
        ids = tokenizer(text)["input_ids"]
        if not ids:
            raise EvaluationInvalid(f"the context {context!r} has no token")
        chains.append(Chain(array("i", [*ids, target]), len(ids), slot))
        text += decoded
    return chains


def _fingerprint(task: Path, tokenizer: Any, packs: bool) -> str:
    """A hash that changes with the files of the task and with the tokenizer."""
    digest = hashlib.sha256(f"{task.resolve()} {packs} {ROWS_VERSION}".encode())
    for path in task_files(task):
        state = path.stat()
        digest.update(f"{path.name} {state.st_size} {state.st_mtime_ns}\n".encode())
    backend = getattr(tokenizer, "backend_tokenizer", None)
    digest.update(backend.to_str().encode() if backend is not None else repr(tokenizer).encode())
    return digest.hexdigest()
