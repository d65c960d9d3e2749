"""Measures how well a tokenizer fits a text, such as tokens per word and unused entries."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict
from tokenizers import Tokenizer

from core.errors import CorpusEmpty
from core.tokenizer.loading import load_tokenizer
from core.tokenizer.units import UnitEncoder

STATISTICS_VERSION = 1
"""Increase it if a change of the code gives other figures for the same text and tokenizer."""
READ_BYTES = 1 << 20


class TokenizerStatistics(BaseModel):
    """Statistics of clean text; ends of documents are not counted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes: int
    characters: int
    words: int
    tokens: int
    bytes_per_word: float
    characters_per_word: float
    tokens_per_word: float
    bytes_per_token: float
    unused_entries: int
    """Number of vocabulary entries, including specials and bytes, that the text never uses."""


def tokenizer_statistics(tokenizer: Tokenizer, files: Sequence[Path]) -> TokenizerStatistics:
    """The statistics of a tokenizer on clean text files, usually the validation text.

    Raises:
        CorpusEmpty: If the files contain no word.
    """
    encoder = UnitEncoder(tokenizer)
    used = np.zeros(encoder.vocab_size, np.bool_)  # (V,)
    num_bytes = characters = words = tokens = 0
    for path in files:
        with path.open("rb") as file:
            while lines := file.readlines(READ_BYTES):
                # Drops the empty lines between documents, for which the encoder would add
                # `<|endoftext|>`, a token that these statistics do not count.
                text = b"\n".join(line for line in b"".join(lines).split(b"\n") if line).decode()
                encoded = encoder.encode(text)
                used[encoded.ids] = True
                num_bytes += len(text.encode())
                characters += len(text)
                words += int(np.count_nonzero(encoded.starts))
                tokens += len(encoded.ids)
    if words == 0:
        raise CorpusEmpty("there is no text to measure the tokenizer on")
    return TokenizerStatistics(
        bytes=num_bytes,
        characters=characters,
        words=words,
        tokens=tokens,
        bytes_per_word=num_bytes / words,
        characters_per_word=characters / words,
        tokens_per_word=tokens / words,
        bytes_per_token=num_bytes / tokens,
        unused_entries=int(np.count_nonzero(~used)),
    )


def write_statistics(tokenizer: Path, files: Sequence[Path], output: Path) -> None:
    """Writes the statistics of the tokenizer in a folder to `output/statistics.json`.

    Raises:
        CorpusEmpty: If the files contain no word.
    """
    statistics = tokenizer_statistics(load_tokenizer(tokenizer), files)
    (output / "statistics.json").write_text(statistics.model_dump_json(), encoding="utf-8")
