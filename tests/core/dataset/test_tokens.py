import json
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from core.dataset import tokens as module
from core.dataset.tokens import TokenFile
from core.errors import TokenFileDamaged

from .conftest import toy_documents

Encode = Callable[..., TokenFile]


@pytest.mark.parametrize("name", ["tokens.bin", "word_starts.bin", "documents.bin"])
def test_a_file_cut_short_is_refused(encode: Encode, documents: list[str], name: str) -> None:
    path = encode(documents).folder / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TokenFileDamaged, match=name):
        TokenFile.open(path.parent)


@pytest.mark.parametrize("name", ["tokens.bin", "word_starts.bin", "documents.bin", "meta.json"])
def test_a_missing_file_is_refused(encode: Encode, documents: list[str], name: str) -> None:
    path = encode(documents).folder / name
    path.unlink()
    with pytest.raises(TokenFileDamaged, match=name):
        TokenFile.open(path.parent)


@pytest.mark.parametrize("change", [{"format_version": 2}, {"dtype": "int8"}, {"surprise": 1}])
def test_an_unknown_description_is_refused(
    encode: Encode, documents: list[str], change: dict[str, object]
) -> None:
    path = encode(documents).folder / "meta.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(TokenFileDamaged, match=r"meta\.json"):
        TokenFile.open(path.parent)


def test_words_between_any_boundaries_are_counted(
    encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = encode(toy_documents(7))
    bits = np.unpackbits(np.asarray(tokens.word_starts), bitorder="little")[: tokens.num_tokens]
    rng = np.random.default_rng(0)
    for block in (8, 64, 1 << 20):
        monkeypatch.setattr(module, "BLOCK_BYTES", block)
        every = tokens.word_counts(np.arange(tokens.num_tokens + 1))
        assert every.tolist() == bits.tolist()
        some = np.sort(rng.integers(0, tokens.num_tokens + 1, 50))
        expected = [int(bits[a:b].sum()) for a, b in pairwise(some)]
        assert tokens.word_counts(some).tolist() == expected
    assert tokens.word_counts(np.array([0, tokens.num_tokens])).tolist() == [tokens.num_words]


@pytest.mark.parametrize("boundaries", [[3, 2], [-1, 2], [0, 10**9]])
def test_boundaries_outside_the_file_or_out_of_order_are_refused(
    encode: Encode, documents: list[str], boundaries: list[int]
) -> None:
    with pytest.raises(ValueError, match="boundaries"):
        encode(documents).word_counts(np.array(boundaries))


def test_ids_stay_on_the_disk(encode: Encode, documents: list[str]) -> None:
    assert isinstance(encode(documents).ids, np.memmap)
