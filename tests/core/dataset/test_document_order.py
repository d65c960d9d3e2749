"""Documents reordered and repacked each epoch: the same tokens and words, in another order."""

from collections.abc import Callable

import numpy as np
import pytest

from core.dataset.batches import Batches, permutation
from core.dataset.document_order import DocumentOrder
from core.dataset.tokens import TokenFile

from .conftest import toy_documents

Encode = Callable[..., TokenFile]


@pytest.fixture
def tokens(encode: Encode) -> TokenFile:
    return encode(toy_documents(8), toy_documents(9, 7))


def repacked(tokens: TokenFile, *, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of an epoch and their word starts, concatenated document by document."""
    order = permutation(tokens.num_documents, seed=seed, epoch=epoch, stream=1)
    bits = np.unpackbits(np.asarray(tokens.word_starts), bitorder="little")[: tokens.num_tokens]
    cuts = tokens.documents[1:].astype(np.int64)
    ids, starts = np.split(np.asarray(tokens.ids), cuts), np.split(bits, cuts)
    return np.concatenate([ids[k] for k in order]), np.concatenate([starts[k] for k in order])


@pytest.mark.parametrize("seq_length", [8, 13, 64, 5000])
def test_batches_are_cut_from_the_repacked_documents(tokens: TokenFile, seq_length: int) -> None:
    batch_size, seed = 3, 5
    batches = Batches(
        tokens, seq_length=seq_length, batch_size=batch_size, seed=seed, shuffle="documents"
    )
    words = targets = 0
    for step in range(1, 3 * batches.steps_per_epoch + 1):
        epoch, index = divmod(step - 1, batches.steps_per_epoch)
        stream, starts = repacked(tokens, seed=seed, epoch=epoch)
        windows = permutation(batches.windows, seed=seed, epoch=epoch)
        windows = windows[index * batch_size : (index + 1) * batch_size]
        batch = batches.batch(step)
        expected = 0
        for row, window in enumerate(windows.tolist()):
            part = stream[window * seq_length : (window + 1) * seq_length + 1]
            counted = len(part) - 1
            assert batch.inputs[row, :counted].tolist() == part[:-1].tolist()
            assert batch.targets[row, :counted].tolist() == part[1:].tolist()
            assert (batch.targets[row, counted:] == -100).all()
            end = None if window == batches.windows - 1 else (window + 1) * seq_length
            expected += int(starts[window * seq_length : end].sum())
        assert batch.num_words == expected
        words, targets = words + expected, targets + batch.num_targets
        assert (batches.words_seen(step), batches.tokens_seen(step)) == (words, targets)
    assert words == 3 * tokens.num_words
    assert targets == 3 * (tokens.num_tokens - 1)


def test_each_epoch_has_its_own_order_which_every_instance_computes_equally(
    tokens: TokenFile,
) -> None:
    def fresh() -> Batches:
        return Batches(tokens, seq_length=8, batch_size=5, seed=9, shuffle="documents")

    steps = range(1, 3 * fresh().steps_per_epoch + 1)
    running = fresh()
    in_order = [running.batch(step).inputs for step in steps]
    for step in [*steps[::-7], *steps[::5]]:
        np.testing.assert_array_equal(fresh().batch(step).inputs, in_order[step - 1])
        np.testing.assert_array_equal(running.batch(step).inputs, in_order[step - 1])
    epochs = {tuple(repacked(tokens, seed=9, epoch=epoch)[0].tolist()) for epoch in range(3)}
    assert len(epochs) == 3


def test_documents_packed_apart_start_at_their_separator(tokens: TokenFile) -> None:
    batches = Batches(
        tokens, seq_length=16, batch_size=4, seed=2, packing="documents", shuffle="documents"
    )
    batch = batches.batch(1)
    assert batch.segments is not None
    assert batch.segments.tolist() == np.cumsum(batch.inputs == 0, axis=1).tolist()


def test_the_order_of_the_file_is_the_file(tokens: TokenFile) -> None:
    order = DocumentOrder(tokens, np.arange(tokens.num_documents))
    positions = np.arange(tokens.num_tokens)
    np.testing.assert_array_equal(order.file_positions(positions), positions)
    boundaries = np.append(np.arange(0, tokens.num_tokens, 7), tokens.num_tokens)
    np.testing.assert_array_equal(order.word_counts(boundaries), tokens.word_counts(boundaries))


def test_one_document_has_one_order(encode: Encode) -> None:
    tokens = encode(toy_documents(3, 1))
    plain = Batches(tokens, seq_length=8, batch_size=2, seed=4)
    shuffled = Batches(tokens, seq_length=8, batch_size=2, seed=4, shuffle="documents")
    for step in range(1, plain.steps_per_epoch + 1):
        np.testing.assert_array_equal(shuffled.batch(step).inputs, plain.batch(step).inputs)
        assert shuffled.words_seen(step) == plain.words_seen(step)


def test_the_order_of_the_documents_never_changes() -> None:
    # A run that resumes with another version of numpy must keep its order.
    assert permutation(8, seed=0, epoch=0, stream=1).tolist() == [7, 6, 4, 5, 3, 1, 0, 2]
