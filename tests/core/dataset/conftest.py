"""Toy text in clean form, and a small tokenizer that was trained on it."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from core.dataset.encode import encode_split
from core.dataset.tokens import TokenFile
from core.spec.job import TokenizerSpec
from core.tokenizer.bpe import train_bpe

WORDS = [
    *("the", "a", "one", "dog", "cat", "bird", "sees", "Sees", "chased", "7", "42", "1999"),
    *("don't", "it's", "we'll", "I'd", "you're", "naïve", "café", "北京", "ночь", "\U0001f600"),
    *("...", "!?", "--", "'quoted'", "(so)", "well,", "end.", "stop;", "x-y", "a.b.c", "#@%"),
    "<|endoftext|>",
]


def ignore(share: float) -> None:
    pass


def toy_documents(seed: int, count: int = 40) -> list[str]:
    """Documents of a few lines, in the format of clean text."""
    rng = random.Random(seed)

    def line() -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(1, 12)))

    return ["\n".join(line() for _ in range(rng.randint(1, 6))) for _ in range(count)]


def write_clean(path: Path, documents: list[str]) -> Path:
    path.write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tokenizer with 360 entries."""
    folder = tmp_path_factory.mktemp("tokenizer")
    text = write_clean(folder / "text.txt", toy_documents(0, 200))
    train_bpe(
        [text],
        spec=TokenizerSpec(vocab_size=360),
        output=folder,
        progress=ignore,
        should_stop=lambda: False,
    )
    return folder


@pytest.fixture
def encode(tokenizer: Path, tmp_path: Path) -> Callable[..., TokenFile]:
    """Encodes lists of documents, one list for each source, into a token file."""

    def run(*sources: list[str], processes: int = 1, name: str = "tokens") -> TokenFile:
        files = [
            write_clean(tmp_path / f"source{place}.txt", documents)
            for place, documents in enumerate(sources)
        ]
        (tmp_path / name).mkdir()
        encode_split(
            files,
            tokenizer=tokenizer,
            output=tmp_path / name,
            progress=ignore,
            should_stop=lambda: False,
            processes=processes,
        )
        return TokenFile.open(tmp_path / name)

    return run


@pytest.fixture
def documents() -> list[str]:
    return toy_documents(1)
