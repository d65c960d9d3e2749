import json
import os
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from core.errors import CorpusEmpty, RunError, Stopped
from core.process.program import python_command
from core.spec.job import TokenizerSpec
from core.tokenizer import bpe, learning
from core.tokenizer.bpe import train_bpe
from core.tokenizer.report import TokenizerReport
from core.tokenizer.specials import END_OF_TEXT_ID, PAD_ID, SPECIAL_TOKENS
from tests.waiting import DEADLINE


def ignore(share: float) -> None:
    pass


def write_text(path: Path, lines: int = 600) -> Path:
    rng = random.Random(0)
    words = ["".join(rng.choices("aeiounrstlé", k=rng.randint(1, 7))) for _ in range(150)]
    text = [" ".join(rng.choices(words, k=9)) + rng.choice([".", "!", " ."]) for _ in range(lines)]
    text[::10] = [""] * len(text[::10])
    path.write_text("\n".join(text[1:]) + "\n", encoding="utf-8")
    return path


def train(text: Path, output: Path, **options: object) -> TokenizerReport:
    arguments: dict[str, object] = {
        "spec": TokenizerSpec(vocab_size=500),
        "progress": ignore,
        "should_stop": lambda: False,
    }
    output.mkdir()
    return train_bpe([text], output=output, **(arguments | options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bpe")
    train(write_text(root / "text.txt"), root / "tokenizer")
    return root / "tokenizer"


@pytest.fixture(scope="module")
def loaded(folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(folder)


def test_it_loads_with_its_special_tokens(loaded: PreTrainedTokenizerBase) -> None:
    assert type(loaded).__name__.startswith("GPT2Tokenizer")
    assert len(loaded) == 500
    assert loaded.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == [0, 1, 2]
    assert loaded.bos_token_id == loaded.eos_token_id == END_OF_TEXT_ID
    assert loaded.pad_token_id == PAD_ID
    assert loaded.unk_token_id == 2


def test_it_names_a_class_that_older_transformers_know(
    loaded: PreTrainedTokenizerBase, folder: Path, tmp_path: Path
) -> None:
    loaded.save_pretrained(tmp_path)
    for place in (folder, tmp_path):
        config = json.loads((place / "tokenizer_config.json").read_text())
        assert config["tokenizer_class"] == "GPT2Tokenizer"


@settings(deadline=None)
@given(text=st.text())
def test_any_text_comes_back(loaded: PreTrainedTokenizerBase, text: str) -> None:
    assert loaded.decode(loaded(text)["input_ids"]) == text


def test_no_byte_is_unknown(loaded: PreTrainedTokenizerBase) -> None:
    text = "".join(map(chr, range(0x250))) + "\U0010ffff\u4e2d"
    assert loaded.unk_token_id not in loaded(text)["input_ids"]


def test_the_same_text_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    train(folder.parent / "text.txt", tmp_path / "again")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_how_much_is_fed_at_once_does_not_matter(folder: Path) -> None:
    tokenizers = []
    for feed_bytes in (1, learning.FEED_BYTES):
        tokenizer = learning.new_tokenizer()
        tokenizer.train_from_iterator(
            learning.read_text([folder.parent / "text.txt"], feed_bytes),
            trainer=learning.new_trainer(500, 2),
        )
        tokenizers.append(tokenizer.to_str())
    assert tokenizers[0] == tokenizers[1]
    assert json.loads(tokenizers[0]) == json.loads((folder / "tokenizer.json").read_text())


def test_little_text_gives_a_smaller_vocabulary_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the dog\n\nthe dog\n\nx\n", encoding="utf-8")
    report = train(tmp_path / "a.txt", tmp_path / "out")
    assert report.requested_vocab_size == 500
    assert report.vocab_size == len(AutoTokenizer.from_pretrained(tmp_path / "out")) == 264
    assert report.merges == 5
    stored = TokenizerReport.model_validate_json((tmp_path / "out" / "report.json").read_bytes())
    assert stored == report


def test_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"")
    with pytest.raises(CorpusEmpty):
        train(tmp_path / "a.txt", tmp_path / "out")


def test_a_stop_request_ends_reading_and_merging(tmp_path: Path, folder: Path) -> None:
    for number, share in enumerate((0.0, bpe.COUNTING_SHARE + 0.01)):
        seen: list[float] = [0.0]
        with pytest.raises(Stopped):
            train(
                folder.parent / "text.txt",
                tmp_path / str(number),
                spec=TokenizerSpec(vocab_size=2000, min_frequency=1),
                progress=seen.append,
                should_stop=lambda: seen[-1] >= share,  # noqa: B023 -- used within the round
            )
        assert list((tmp_path / str(number)).iterdir()) == []


def test_progress_is_of_the_text_and_then_of_the_merges(tmp_path: Path, folder: Path) -> None:
    shares: list[float] = []
    train(folder.parent / "text.txt", tmp_path / "out", progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_the_process_that_learns_ends_with_its_parent(folder: Path, tmp_path: Path) -> None:
    command = python_command("core.tokenizer.learning", str(tmp_path), "500", "2")
    fifo = tmp_path / "never_ends"
    os.mkfifo(fifo)  # reading blocks until a writer opens it
    with subprocess.Popen([*command, str(fifo)], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(DEADLINE) == 1


def test_a_process_that_dies_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff not text\n")
    with pytest.raises(RunError, match=r"(?s)ended with status 1: .*UnicodeDecodeError"):
        train(tmp_path / "a.txt", tmp_path / "out")
