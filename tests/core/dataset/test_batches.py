from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from core.dataset.batches import Batches, permutation, validation_windows
from core.dataset.tokens import TokenFile
from core.errors import CorpusTooSmall, TokenOutOfVocabulary
from core.spec.plan import make_plan
from core.spec.training import TrainingSpec

from .conftest import toy_documents

Encode = Callable[..., TokenFile]


@pytest.fixture
def tokens(encode: Encode) -> TokenFile:
    return encode(toy_documents(8))


def bits(tokens: TokenFile) -> np.ndarray:
    return np.unpackbits(np.asarray(tokens.word_starts), bitorder="little")[: tokens.num_tokens]


@pytest.mark.parametrize(("seq_length", "batch_size"), [(8, 3), (16, 1), (64, 7), (8, 10_000)])
def test_the_plan_counts_the_same_windows_and_steps(
    tokens: TokenFile, seq_length: int, batch_size: int
) -> None:
    batches = Batches(tokens, seq_length=seq_length, batch_size=batch_size, seed=0)
    spec = TrainingSpec(seq_length=seq_length, batch_size=batch_size)
    plan = make_plan(spec, num_tokens=tokens.num_tokens)
    assert (batches.windows, batches.steps_per_epoch) == (plan.windows, plan.steps_per_epoch)


@pytest.mark.parametrize("seq_length", [8, 9, 10, 11, 12, 13, 5000])
def test_each_token_but_the_first_is_predicted_once_an_epoch(
    tokens: TokenFile, seq_length: int
) -> None:
    batches = Batches(tokens, seq_length=seq_length, batch_size=4, seed=3)
    pairs: list[tuple[int, int]] = []
    for step in range(1, batches.steps_per_epoch + 1):
        batch = batches.batch(step)
        assert batch.inputs.shape == batch.targets.shape
        assert batch.inputs.dtype == batch.targets.dtype == np.int64
        counted = batch.targets != -100
        assert batch.num_targets == counted.sum()
        assert (batch.inputs[~counted] == 1).all()
        pairs += zip(batch.inputs[counted].tolist(), batch.targets[counted].tolist(), strict=True)
    ids = tokens.ids.tolist()
    assert sorted(pairs) == sorted(pairwise(ids))


@pytest.mark.parametrize(("seq_length", "batch_size"), [(8, 3), (13, 5), (5000, 2)])
def test_words_and_tokens_seen_are_exact_at_every_step(
    tokens: TokenFile, seq_length: int, batch_size: int
) -> None:
    batches = Batches(tokens, seq_length=seq_length, batch_size=batch_size, seed=1)
    starts = bits(tokens)
    words = targets = 0
    assert batches.words_seen(0) == batches.tokens_seen(0) == 0
    for step in range(1, 2 * batches.steps_per_epoch + 1):
        epoch, index = divmod(step - 1, batches.steps_per_epoch)
        order = permutation(batches.windows, seed=1, epoch=epoch)
        batch = batches.batch(step)
        expected = 0
        for window in order[index * batch_size : (index + 1) * batch_size].tolist():
            end = (window + 1) * seq_length
            is_last = window == batches.windows - 1
            expected += int(starts[window * seq_length : None if is_last else end].sum())
        assert batch.num_words == expected
        words += expected
        targets += batch.num_targets
        assert batches.words_seen(step) == words
        assert batches.tokens_seen(step) == targets
        assert batches.epoch(step) == step / batches.steps_per_epoch
    assert words == 2 * tokens.num_words
    assert targets == 2 * (tokens.num_tokens - 1)


def test_a_stream_has_no_segments(tokens: TokenFile) -> None:
    assert Batches(tokens, seq_length=8, batch_size=2, seed=0).batch(1).segments is None


@pytest.mark.parametrize("seq_length", [8, 13, 5000])
def test_segments_are_the_documents_and_a_separator_opens_the_next(
    tokens: TokenFile, seq_length: int
) -> None:
    plain = Batches(tokens, seq_length=seq_length, batch_size=3, seed=1)
    apart = Batches(tokens, seq_length=seq_length, batch_size=3, seed=1, packing="documents")
    order = permutation(plain.windows, seed=1, epoch=0)
    for step in range(1, plain.steps_per_epoch + 1):
        batch, expected = apart.batch(step), plain.batch(step)
        np.testing.assert_array_equal(batch.inputs, expected.inputs)
        np.testing.assert_array_equal(batch.targets, expected.targets)
        assert (apart.words_seen(step), apart.tokens_seen(step)) == (
            plain.words_seen(step),
            plain.tokens_seen(step),
        )
        assert batch.segments is not None
        assert batch.segments.shape == batch.inputs.shape
        assert batch.segments.dtype == np.int32
        windows = order[(step - 1) * 3 : step * 3]
        for window, found, counted in zip(
            windows.tolist(), batch.segments, batch.targets != -100, strict=True
        ):
            # The separator comes immediately before the start of the next document.
            places = window * seq_length + np.flatnonzero(counted)
            documents = np.searchsorted(tokens.documents[1:], places + 1, "right")
            assert (np.diff(found[counted]) == np.diff(documents)).all()


def test_validation_separates_documents_on_request(tokens: TokenFile) -> None:
    (batch,) = validation_windows(
        tokens, seq_length=16, max_tokens=16, batch_size=1, packing="documents"
    )
    assert batch.segments is not None
    assert batch.segments.tolist() == np.cumsum(batch.inputs == 0, axis=1).tolist()


def test_a_new_object_continues_at_any_step(tokens: TokenFile) -> None:
    def fresh() -> Batches:
        return Batches(tokens, seq_length=8, batch_size=5, seed=9)

    steps = range(1, 3 * fresh().steps_per_epoch + 1)
    running = fresh()
    in_order = [running.batch(step).inputs for step in steps]
    for step in [*steps[::-7], *steps[::5]]:
        np.testing.assert_array_equal(fresh().batch(step).inputs, in_order[step - 1])
        np.testing.assert_array_equal(running.batch(step).inputs, in_order[step - 1])


class Counting(TokenFile):
    """A token file that counts the calls of `word_counts`. Preparing an epoch makes such calls."""

    calls = 0

    def word_counts(self, boundaries):
        Counting.calls += 1
        return super().word_counts(boundaries)


def test_each_epoch_is_prepared_once_by_a_run_that_reads_the_words_seen_before_it(
    tokens: TokenFile,
) -> None:
    epochs, counted = 4, Counting.open(tokens.folder)
    batches = Batches(counted, seq_length=8, batch_size=5, seed=9, shuffle="documents")
    Counting.calls = 0
    seen = in_first = 0
    for step in range(1, epochs * batches.steps_per_epoch + 1):
        words = batches.batch(step).num_words
        assert batches.words_seen(step) - batches.words_seen(step - 1) == words
        seen += words
        in_first = in_first or Counting.calls
    assert seen == epochs * tokens.num_words
    assert Counting.calls == epochs * in_first > 0


def test_seeds_and_epochs_have_orders_of_their_own() -> None:
    orders = [permutation(100, seed=s, epoch=e).tolist() for s in range(3) for e in range(3)]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert len({tuple(order) for order in orders}) == 9


def test_the_order_never_changes() -> None:
    # A run that resumes with another version of numpy must keep its order.
    assert permutation(8, seed=0, epoch=0).tolist() == [3, 2, 1, 6, 0, 7, 4, 5]


@pytest.mark.parametrize("step", [0, -1])
def test_steps_are_counted_from_one(tokens: TokenFile, step: int) -> None:
    with pytest.raises(ValueError, match="counted from 1"):
        Batches(tokens, seq_length=8, batch_size=2, seed=0).batch(step)


@pytest.mark.parametrize("step", [1.0, True, "1"])
def test_a_step_that_is_not_an_integer_is_refused(tokens: TokenFile, step: object) -> None:
    batches = Batches(tokens, seq_length=8, batch_size=2, seed=0)
    for method in (batches.batch, batches.words_seen, batches.tokens_seen, batches.epoch):
        with pytest.raises(TypeError, match="must be an integer"):
            method(step)  # type: ignore[operator]


def test_an_id_outside_the_vocabulary_names_file_position_and_id(tokens: TokenFile) -> None:
    path = tokens.folder / "tokens.bin"
    ids = np.fromfile(path, "<u2")
    ids[37] = 360
    ids.tofile(path)
    batches = Batches(TokenFile.open(tokens.folder), seq_length=8, batch_size=1000, seed=0)
    with pytest.raises(TokenOutOfVocabulary, match=r"tokens\.bin: id 360 at position 37,"):
        batches.batch(1)


def test_a_file_of_one_token_is_too_small(tokens: TokenFile) -> None:
    small = TokenFile(
        folder=tokens.folder,
        meta=tokens.meta.model_copy(update={"num_tokens": 1}),
        ids=tokens.ids[:1],
        documents=tokens.documents[:1],
        word_starts=tokens.word_starts[:1],
    )
    with pytest.raises(CorpusTooSmall):
        Batches(small, seq_length=8, batch_size=1, seed=0)
    with pytest.raises(CorpusTooSmall):
        validation_windows(small, seq_length=8, max_tokens=None, batch_size=1)


def test_validation_without_a_limit_takes_every_token_once(tokens: TokenFile) -> None:
    batches = list(validation_windows(tokens, seq_length=8, max_tokens=None, batch_size=3))
    assert sum(batch.num_targets for batch in batches) == tokens.num_tokens - 1
    assert sum(batch.num_words for batch in batches) == tokens.num_words
    targets = np.concatenate([batch.targets.ravel() for batch in batches])
    assert targets[targets != -100].tolist() == tokens.ids[1:].tolist()


@pytest.mark.parametrize("max_tokens", [1, 8, 100, 333, 10**9])
def test_validation_is_spread_evenly_and_the_same_every_time(
    tokens: TokenFile, max_tokens: int
) -> None:
    def inputs() -> np.ndarray:
        chosen = validation_windows(tokens, seq_length=8, max_tokens=max_tokens, batch_size=3)
        return np.concatenate([batch.inputs for batch in chosen])

    np.testing.assert_array_equal(inputs(), inputs())
    windows = -(-(tokens.num_tokens - 1) // 8)
    count = min(windows, max(1, max_tokens // 8))
    assert len(inputs()) == count
    places = np.arange(count) * windows // count
    assert count == 1 or np.ptp(np.diff(places)) <= 1
    np.testing.assert_array_equal(inputs()[:, 0], tokens.ids[places * 8])
