from pathlib import Path

import pytest

from core.dataset.chunks import load_tokenizer
from core.errors import CorpusEmpty
from core.spec.job import TokenizerSpec
from core.tokenizer.bpe import train_bpe
from core.tokenizer.statistics import tokenizer_statistics


def ignore(share: float) -> None:
    pass


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    (tmp_path / "train.txt").write_text("the dog\n\nthe dog\n", encoding="utf-8")
    train_bpe(
        [tmp_path / "train.txt"],
        spec=TokenizerSpec(vocab_size=300),
        output=tmp_path,
        progress=ignore,
        should_stop=lambda: False,
    )
    return tmp_path


def test_words_tokens_and_unused_entries_are_counted(tokenizer: Path) -> None:
    text = tokenizer / "dev.txt"
    text.write_text("the dog é\n\nthe dog\n", encoding="utf-8")
    statistics = tokenizer_statistics(load_tokenizer(tokenizer), [text, text])
    assert statistics.words == 10
    assert statistics.characters == 2 * len("the dog é\nthe dog")
    assert statistics.bytes == statistics.characters + 2
    # The tokens are: `the`, ` dog`; ` `, two bytes of `é`; a line break; `the`, ` dog`.
    assert statistics.tokens == 2 * (2 + 3 + 1 + 2)
    assert statistics.tokens_per_word == 1.6
    assert statistics.unused_entries == 264 - 6


def test_no_words_is_refused(tokenizer: Path) -> None:
    text = tokenizer / "dev.txt"
    text.write_text("\n", encoding="utf-8")
    with pytest.raises(CorpusEmpty):
        tokenizer_statistics(load_tokenizer(tokenizer), [text])
