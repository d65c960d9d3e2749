from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from core.dataset.chunks import load_tokenizer
from core.tokenizer import units
from core.tokenizer.units import TextNotClean, UnitEncoder
from core.tokenizer.words import WordFlags, vocabulary_bytes

PIECES = ["'s", "'ll", "'", "don't", "12", "3", "!?", "...", "é", "中", "ß", "\U0001f600", "_", "a"]
PIECES += ["Word", "<|endoftext|>", "<|pad|>", "e\u0301", "\u200b", "\u00ad", "\x00"]
CHARACTERS = st.characters(exclude_categories=["Cs"]).filter(lambda c: not c.isspace())
WORD = st.one_of(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join),
    st.text(CHARACTERS, min_size=1, max_size=8),
)
LINE = st.lists(WORD, min_size=1, max_size=6).map(" ".join)
DOCUMENT = st.lists(LINE, min_size=1, max_size=4).map("\n".join)
DOCUMENTS = st.lists(DOCUMENT, min_size=1, max_size=5)
# Each property test takes a second, because it needs many kinds of text.


def reference(tokenizer: Path) -> Tokenizer:
    plain = load_tokenizer(tokenizer)
    plain.encode_special_tokens = True
    return plain


@pytest.fixture(scope="module")
def plain(tokenizer: Path) -> Tokenizer:
    return reference(tokenizer)


@pytest.fixture(scope="module")
def encoder(tokenizer: Path) -> UnitEncoder:
    return UnitEncoder(load_tokenizer(tokenizer))


@settings(deadline=None, max_examples=150)
@given(documents=DOCUMENTS)
def test_ids_are_those_of_each_document_encoded_alone(
    plain: Tokenizer, encoder: UnitEncoder, documents: list[str]
) -> None:
    encoded = encoder.encode("\n\n".join(documents) + "\n\n")
    begin = 0
    for document, end in zip(documents, encoded.document_ends.tolist(), strict=True):
        alone = plain.encode(document, add_special_tokens=False).ids
        assert encoded.ids[begin:end].tolist() == [*alone, 0]
        begin = end
    assert begin == len(encoded.ids)


@settings(deadline=None)
@given(documents=DOCUMENTS)
def test_word_starts_are_the_words_of_each_document(
    encoder: UnitEncoder, documents: list[str]
) -> None:
    encoded = encoder.encode("\n\n".join(documents) + "\n\n")
    starts = np.split(encoded.starts, encoded.document_ends)[:-1]
    assert [int(part.sum()) for part in starts] == [len(text.split()) for text in documents]


@settings(deadline=None)
@given(documents=DOCUMENTS)
def test_words_are_counted_from_ids_alone(
    plain: Tokenizer, encoder: UnitEncoder, documents: list[str]
) -> None:
    encoded = encoder.encode("\n\n".join(documents) + "\n\n")
    flags = WordFlags.of(vocabulary_bytes(plain))
    assert flags.starts(encoded.ids).tolist() == encoded.starts.tolist()


@pytest.mark.parametrize(
    "text",
    [
        "a  b",
        " a",
        "a ",
        "a \nb",
        "a\n b",
        "a\tb",
        "a\r\nb",
        "a\u00a0b",
        "a\u2028b",
        "\na",
        "a\n\n\nb",
    ],
)
def test_white_space_that_is_not_clean_is_refused(encoder: UnitEncoder, text: str) -> None:
    with pytest.raises(TextNotClean):
        encoder.encode(text)
    assert encoder.encode("a b").starts.sum() == 2


def test_forgetting_changes_nothing(
    tokenizer: Path, encoder: UnitEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "MAX_WORDS", 3)
    forgetful = UnitEncoder(load_tokenizer(tokenizer))
    for text in ("the dog sees\nit's 42", "a cat sees the dog", "the dog sees"):
        assert forgetful.encode(text).ids.tolist() == encoder.encode(text).ids.tolist()
    assert len(forgetful._numbers) <= 3


def test_words_that_another_process_encoded_are_not_encoded_again(
    tokenizer: Path, encoder: UnitEncoder
) -> None:
    first, second = (UnitEncoder(load_tokenizer(tokenizer)) for _ in range(2))
    first.encode("the dog sees\nit's 42")
    second.encode("a cat sees the")
    learned = first.news()
    assert first.news() == []
    for units_ in learned:
        second.adopt(units_)  # both have already encoded `sees`
    texts = ("the dog sees\nit's 42 a cat", "a new cat sees it's dog")
    expected = [encoder.encode(text).ids.tolist() for text in texts]
    second.news()
    assert [second.encode(text).ids.tolist() for text in texts] == expected
    own = [(new.words, new.begins_line.tolist()) for new in second.news()]
    assert own == [
        (["a"], [False]),
        (["new", "it's"], [False, False]),
    ]  # `a` and `it's` were known only at the start of a line


def test_a_tokenizer_that_splits_otherwise_is_refused(plain: Tokenizer) -> None:
    other = Tokenizer.from_str(plain.to_str().replace('"use_regex":true', '"use_regex":false'))
    with pytest.raises(ValueError, match="GPT-2's splitting"):
        UnitEncoder(other)


def test_an_entry_in_which_two_words_start_is_refused() -> None:
    with pytest.raises(ValueError, match="two words"):
        WordFlags.of([None, b"a b"])
    with pytest.raises(ValueError, match="two words"):
        WordFlags.of([None, b" a b"])
    WordFlags.of([None, b"\n a"])
