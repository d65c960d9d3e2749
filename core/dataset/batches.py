"""Batches of a token file, in an order that is a pure function of seed, epoch and index.

A window is one sequence of the file. Each epoch puts the windows in another order. With
`shuffle="documents"`, each epoch first puts the documents in another order, and cuts new windows
from the stream that results (qlabs-eng/slowrun, "document-level shuffle").

To resume a run, only the number of its last step is needed.

Shapes: B sequences in a batch, T tokens in a sequence, N tokens in the file, W windows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from core.dataset.document_order import DocumentOrder
from core.dataset.tokens import TOKENS, TokenFile
from core.errors import CorpusTooSmall, TokenOutOfVocabulary
from core.spec.training import TrainingSpec
from core.tokenizer.specials import END_OF_TEXT_ID, PAD_ID

IGNORED = -100
"""Target that the loss ignores, the default `ignore_index` of torch's cross entropy."""

Packing = Literal["stream", "documents"]
Shuffle = Literal["windows", "documents"]
DOCUMENT_STREAM = 1
"""Number of the random stream for the document order. The window order uses stream 0."""
CACHED_EPOCHS = 2
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """The sequences of one step; `targets[b, t]` is the token after `inputs[b, t]`."""

    inputs: Int64s
    """(B, T) int64, `<|pad|>` after the end of the file."""
    targets: Int64s
    """(B, T) int64, -100 after the end of the file."""
    num_targets: int
    """Number of targets that are not ignored."""
    num_words: int
    """Number of words that start in the windows of the batch."""
    segments: Int32s | None = None
    """(B, T) int32: index of the document within the window. A token attends only to tokens of its
    own document. None: a token attends to all earlier tokens."""
    sources: Int64s | None = None
    """(B, T) int64: the source of each target, as an index in `meta.sources`; None in training."""


class Batches:
    """The training batches of a token file.

    The inputs of window i are the T tokens from position i * T to position (i + 1) * T - 1. The
    target of an input is the token after it, so every token except the first is predicted once per
    epoch.
    With `shuffle="documents"`, positions refer to the epoch's stream of documents, not to the file.
    """

    def __init__(
        self,
        tokens: TokenFile,
        *,
        seq_length: int,
        batch_size: int,
        seed: int,
        packing: Packing = "stream",
        shuffle: Shuffle = "windows",
    ) -> None:
        """Prepares the windows.

        Raises:
            CorpusTooSmall: If the file has fewer than two tokens, so that there is no target.
        """
        self._tokens, self._seq_length, self._packing = tokens, seq_length, packing
        self._windows = _Windows(tokens, seq_length, packing)
        self._batch_size = _positive("batch_size", batch_size)
        self._seed, self._shuffle = seed, shuffle
        self._epochs: dict[int, _Epoch] = {}
        self.windows = self._windows.count
        self.steps_per_epoch = -(-self.windows // batch_size)

    @classmethod
    def of(cls, tokens: TokenFile, training: TrainingSpec) -> "Batches":
        """The batches of all steps of a run. They are the same on all ranks.

        Raises:
            CorpusTooSmall: If the file has fewer than two tokens, so that there is no target.
        """
        return cls(
            tokens,
            seq_length=training.seq_length,
            batch_size=training.batch_size,
            seed=training.seed,
            packing=training.packing,
            shuffle=training.shuffle,
        )

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 1. The last batch of an epoch may be smaller.

        Raises:
            TokenOutOfVocabulary: If a token id is not below the size of the vocabulary.
        """
        epoch, index = self._place(step)
        current = self._epoch(epoch)
        begin = index * self._batch_size
        return current.windows.batch(current.order[begin : begin + self._batch_size])

    def words_seen(self, step: int) -> int:
        """Total number of training words in steps 1 to `step`; 0 for step 0.

        A word that is trained on in several epochs counts once per epoch.
        """
        if _whole(step) == 0:
            return 0
        epoch, index = self._place(step)
        return epoch * self._tokens.num_words + int(self._epoch(epoch).words[index])

    def tokens_seen(self, step: int) -> int:
        """Total number of training targets in steps 1 to `step`; 0 for step 0.

        A target that is predicted in several epochs counts once per epoch.
        """
        if _whole(step) == 0:
            return 0
        epoch, index = self._place(step)
        return epoch * (self._tokens.num_tokens - 1) + int(self._epoch(epoch).targets[index])

    def epoch(self, step: int) -> float:
        """Number of passes over the file in steps 1 to `step`, which may be a fraction."""
        return _whole(step) / self.steps_per_epoch

    def _place(self, step: int) -> tuple[int, int]:
        if _whole(step) == 0:
            raise ValueError("steps are counted from 1, got 0")
        return divmod(int(step) - 1, self.steps_per_epoch)

    def _epoch(self, epoch: int) -> "_Epoch":
        """The windows of an epoch. The last two epochs are cached.

        At the first step of an epoch, the caller also asks for `words_seen(step - 1)`, which needs
        the previous epoch.
        """
        if epoch not in self._epochs:
            while len(self._epochs) >= CACHED_EPOCHS:
                del self._epochs[next(iter(self._epochs))]
            self._epochs[epoch] = self._build_epoch(epoch)
        return self._epochs[epoch]

    def _build_epoch(self, epoch: int) -> "_Epoch":
        windows = self._windows
        if self._shuffle == "documents":
            windows = _Windows(
                self._tokens, self._seq_length, self._packing, self._documents(epoch)
            )
        order = permutation(self.windows, seed=self._seed, epoch=epoch)
        ends = np.minimum(np.arange(1, self.steps_per_epoch + 1) * self._batch_size, len(order))
        return _Epoch(
            windows=windows,
            order=order,
            words=np.cumsum(windows.words[order])[ends - 1],
            targets=np.cumsum(windows.targets(order))[ends - 1],
        )

    def _documents(self, epoch: int) -> DocumentOrder:
        count = self._tokens.num_documents
        order = permutation(count, seed=self._seed, epoch=epoch, stream=DOCUMENT_STREAM)
        return DocumentOrder(self._tokens, order)


def validation_windows(
    tokens: TokenFile,
    *,
    seq_length: int,
    max_tokens: int | None,
    batch_size: int,
    packing: Packing = "stream",
) -> Iterator[Batch]:
    """Batches of windows that are spread evenly over the file; deterministic.

    Args:
        tokens: The validation text.
        seq_length: T.
        max_tokens: Maximum number of targets. If even one window has more, one window is used.
            None: all windows.
        batch_size: B; the last batch may be smaller.
        packing: Whether batches separate documents.

    Raises:
        CorpusTooSmall: If the file has fewer than two tokens.
        TokenOutOfVocabulary: If a token id is not below the size of the vocabulary.
    """
    windows = _Windows(tokens, seq_length, packing)
    _positive("batch_size", batch_size)
    count = windows.count
    if max_tokens is not None:
        count = min(count, max(1, _positive("max_tokens", max_tokens) // seq_length))
    # (count,) ascending, distinct
    chosen = np.arange(count, dtype=np.int64) * windows.count // count

    def batches() -> Iterator[Batch]:
        for begin in range(0, count, batch_size):
            part = chosen[begin : begin + batch_size]
            yield replace(windows.batch(part), sources=windows.sources(part))

    return batches()


def permutation(size: int, *, seed: int, epoch: int, stream: int = 0) -> Int64s:
    """(size,) int64: a permutation of the numbers below `size`.

    The permutation depends only on seed, epoch and stream.

    The function draws 64 random bits for each number and sorts the numbers by them, in a stable
    sort. numpy guarantees that the raw stream of a seeded PCG64 never changes; the result of
    `Generator.permutation` may change (NEP 19). So a run that resumes with another version of numpy
    has the same order.
    """
    entropy = [seed, epoch, stream] if stream else [seed, epoch]
    draws = np.random.PCG64(entropy).random_raw(size)
    return np.argsort(draws, kind="stable")


def segments(inputs: Int64s) -> Int32s:
    """(B, T) int32: the index of each input's document within its window.

    `<|endoftext|>` belongs to the document after it, so that the first token of a document is
    predicted from `<|endoftext|>` alone. No text contains its id, because special tokens that are
    spelled out in a text are encoded as ordinary text.
    """
    return np.cumsum(inputs == END_OF_TEXT_ID, axis=1, dtype=np.int32)


@dataclass(frozen=True)
class _Epoch:
    """The windows of an epoch and their order."""

    windows: "_Windows"
    order: Int64s
    """(W,) windows in the order in which they are trained on."""
    words: Int64s
    """(steps,) number of words of the epoch up to the end of each step."""
    targets: Int64s
    """(steps,) number of targets of the epoch up to the end of each step."""


class _Windows:
    """Consecutive windows of T tokens; the last one is padded."""

    def __init__(
        self,
        tokens: TokenFile,
        seq_length: int,
        packing: Packing,
        documents: DocumentOrder | None = None,
    ) -> None:
        """`documents` is the order of the documents; None means the order of the file."""
        length = _positive("seq_length", seq_length)
        if tokens.num_tokens < 2:
            raise CorpusTooSmall(
                f"{tokens.folder} has {tokens.num_tokens} token; at least 2 are needed"
            )
        self.tokens = tokens
        self._length = length
        self._packing = packing
        self._documents = documents
        self.count = -(-(tokens.num_tokens - 1) // length)
        boundaries = np.arange(self.count + 1, dtype=np.int64) * length  # (W + 1,)
        # The last token is never an input, but a word that starts there is counted too.
        boundaries[-1] = tokens.num_tokens
        self.words = (documents or tokens).word_counts(boundaries)  # (W,)

    def targets(self, windows: Int64s) -> Int64s:
        """Number of targets in each of the windows."""
        return np.minimum(self.tokens.num_tokens - 1 - windows * self._length, self._length)

    def sources(self, windows: Int64s) -> Int64s:
        """(B, T) index of the source of each target.

        Only valid without a document order (`documents` is None), because positions are taken as
        positions in the file.
        """
        counts = [source.tokens for source in self.tokens.meta.sources.values()]
        targets = (windows * self._length)[:, None] + 1 + np.arange(self._length)  # (B, T)
        last = self.tokens.num_tokens - 1
        places: Int64s = np.searchsorted(np.cumsum(counts), np.minimum(targets, last), "right")
        return places

    def batch(self, windows: Int64s) -> Batch:
        """The batch of these windows."""
        last = self.tokens.num_tokens - 1
        begins = (windows * self._length)[:, None]  # (B, 1)
        positions = begins + np.arange(self._length + 1)  # (B, T + 1)
        places = np.minimum(positions, last)  # (B, T + 1)
        if self._documents is not None:
            places = self._documents.file_positions(places)
        ids = self.tokens.ids[places].astype(np.int64)  # (B, T + 1)
        self._check(ids, places)
        inside = positions[:, 1:] <= last  # (B, T)
        inputs = np.where(inside, ids[:, :-1], PAD_ID)
        return Batch(
            inputs=inputs,
            targets=np.where(inside, ids[:, 1:], IGNORED),
            num_targets=int(np.count_nonzero(inside)),
            num_words=int(self.words[windows].sum()),
            segments=segments(inputs) if self._packing == "documents" else None,
        )

    def _check(self, ids: Int64s, positions: Int64s) -> None:
        if ids.max() < self.tokens.vocab_size:
            return
        place = np.unravel_index(int(np.argmax(ids >= self.tokens.vocab_size)), ids.shape)
        raise TokenOutOfVocabulary(
            f"{self.tokens.folder / TOKENS}: id {ids[place]} at position {positions[place]}, "
            f"but the vocabulary has {self.tokens.vocab_size} entries"
        )


def _whole(step: int) -> int:
    if isinstance(step, bool) or not isinstance(step, int | np.integer):
        raise TypeError(f"step must be an integer, got {step!r}")
    if step < 0:
        raise ValueError(f"steps are counted from 1, got {step}")
    return int(step)


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be positive, got {value}")
    return value
