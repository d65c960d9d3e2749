import json
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import psutil
import pytest

from core.dataset import chunks, writer
from core.dataset.chunks import load_tokenizer, split_file
from core.dataset.encode import encode_split
from core.dataset.tokens import TokenFile
from core.errors import CorpusEmpty, CorpusEncoding, RunError, Stopped, TokenOutOfVocabulary
from core.tokenizer.units import TextNotClean

from .conftest import ignore, toy_documents, write_clean

Encode = Callable[..., TokenFile]
FILES = ("tokens.bin", "word_starts.bin", "documents.bin", "meta.json")


def run(files: list[Path], tokenizer: Path, output: Path, **options: object) -> None:
    arguments: dict[str, object] = {
        "progress": ignore,
        "should_stop": lambda: False,
        "processes": 1,
    }
    output.mkdir()
    encode_split(files, tokenizer=tokenizer, output=output, **(arguments | options))  # type: ignore[arg-type]


def test_the_file_holds_every_document_and_its_words(encode: Encode, tokenizer: Path) -> None:
    sources = [toy_documents(2), toy_documents(3)]
    tokens = encode(*sources)
    plain = load_tokenizer(tokenizer)
    plain.encode_special_tokens = True
    documents = sources[0] + sources[1]
    expected = [[*plain.encode(text, add_special_tokens=False).ids, 0] for text in documents]
    assert tokens.ids.tolist() == list(chain.from_iterable(expected))
    assert tokens.ids.dtype == np.dtype("<u2")
    assert tokens.documents.tolist() == np.cumsum([0, *map(len, expected)])[:-1].tolist()
    words = tokens.word_counts(np.append(tokens.documents, tokens.num_tokens))
    assert words.tolist() == [len(text.split()) for text in documents]


def test_the_description_counts_the_text(encode: Encode) -> None:
    sources = [toy_documents(2), toy_documents(3, 7)]
    meta = encode(*sources).meta
    assert meta.num_words == sum(len(text.split()) for source in sources for text in source)
    assert meta.num_bytes == sum(len(text.encode()) for source in sources for text in source)
    assert meta.num_documents == 47
    assert meta.vocab_size == 360
    assert list(meta.sources) == ["source0", "source1"]
    assert meta.sources["source1"].documents == 7
    assert meta.sources["source1"].words == sum(len(text.split()) for text in sources[1])
    assert sum(source.tokens for source in meta.sources.values()) == meta.num_tokens


def test_cutting_into_chunks_changes_nothing(
    encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = toy_documents(4)
    whole = encode(documents, name="whole")
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 1)
    assert len(list(split_file(whole.folder.parent / "source0.txt"))) > 100
    cut = encode(documents, name="cut")
    for name in FILES:
        assert (cut.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_more_processes_write_the_same_bytes(
    encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Takes 0.5 s, because the test needs a real second process.
    sources = [toy_documents(5), toy_documents(6)]
    serial = encode(*sources, name="serial")
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 64)
    parallel = encode(*sources, name="parallel", processes=2)
    for name in FILES:
        assert (parallel.folder / name).read_bytes() == (serial.folder / name).read_bytes()


@pytest.mark.parametrize("ending", ["", "\n", "\n\n", "\n\n\n"])
def test_how_the_last_line_ends_does_not_matter(
    tokenizer: Path, tmp_path: Path, ending: str
) -> None:
    (tmp_path / "a.txt").write_text("the dog\nsees\n\na cat" + ending, encoding="utf-8")
    run([tmp_path / "a.txt"], tokenizer, tmp_path / "out")
    meta = TokenFile.open(tmp_path / "out").meta
    assert (meta.num_documents, meta.num_words, meta.num_bytes) == (2, 5, 17)


def test_a_source_may_be_empty(encode: Encode, tokenizer: Path) -> None:
    folder = encode(["a dog"]).folder.parent
    (folder / "empty.txt").write_bytes(b"")
    run([folder / "empty.txt", folder / "source0.txt"], tokenizer, folder / "out")
    assert TokenFile.open(folder / "out").num_words == 2


def test_no_text_at_all_is_refused(tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_bytes(b"\n")
    with pytest.raises(CorpusEmpty):
        run([tmp_path / "empty.txt"], tokenizer, tmp_path / "out")


def test_text_that_is_not_utf8_names_file_and_place(tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_bytes(b"the dog\n\xff\n")
    with pytest.raises(CorpusEncoding, match=r"bad\.txt: not UTF-8 at byte 8"):
        run([tmp_path / "bad.txt"], tokenizer, tmp_path / "out")


def test_an_error_in_another_process_is_raised_here(
    tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Takes 0.5 s, because the test needs a real second process.
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 64)
    text = write_clean(tmp_path / "bad.txt", ["the  dog", *toy_documents(1)])
    with pytest.raises(TextNotClean, match=r"bad\.txt, bytes 0 to"):
        run([text], tokenizer, tmp_path / "out", processes=2)


def test_a_wide_vocabulary_takes_32_bits(tokenizer: Path, tmp_path: Path) -> None:
    wide = tmp_path / "wide"
    wide.mkdir()
    content = json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    extra = range(len(vocabulary), (1 << 16) + 1)
    vocabulary |= {f"Q{number}": number for number in extra}
    (wide / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    text = write_clean(tmp_path / "a.txt", ["a dog"])
    run([text], wide, tmp_path / "out")
    tokens = TokenFile.open(tmp_path / "out")
    assert tokens.vocab_size == (1 << 16) + 1
    assert tokens.ids.dtype == np.dtype("<u4")


def test_an_id_beyond_the_vocabulary_fails(tokenizer: Path, tmp_path: Path) -> None:
    gap = tmp_path / "gap"
    gap.mkdir()
    content = json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["vocab"]["z"] = 5000
    (gap / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    text = write_clean(tmp_path / "a.txt", ["a zoo"])
    with pytest.raises(TokenOutOfVocabulary, match="5000"):
        run([text], gap, tmp_path / "out")


@pytest.mark.parametrize("processes", [1, 2])
def test_a_stop_request_ends_the_encoding(tokenizer: Path, tmp_path: Path, processes: int) -> None:
    text = write_clean(tmp_path / "a.txt", toy_documents(1))
    with pytest.raises(Stopped):
        run([text], tokenizer, tmp_path / "out", should_stop=lambda: True, processes=processes)


def test_progress_rises_to_the_end(
    tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 200)
    text = write_clean(tmp_path / "a.txt", toy_documents(1))
    shares: list[float] = []
    run([text], tokenizer, tmp_path / "out", progress=shares.append)
    assert len(shares) > 5
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_process_that_dies_is_an_error(
    tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 1)

    others = set(psutil.Process().children())

    def kill_helpers() -> bool:
        for child in set(psutil.Process().children()) - others:
            child.kill()
        return False

    text = write_clean(tmp_path / "a.txt", toy_documents(1))
    with pytest.raises(RunError, match="exited with status -9"):
        run([text], tokenizer, tmp_path / "out", processes=2, should_stop=kill_helpers)


def stop_at(share: float) -> tuple[Callable[[float], None], Callable[[], bool]]:
    """Arguments `progress` and `should_stop` that request a stop at the progress `share`."""
    shares = [0.0]
    return shares.append, lambda: shares[-1] >= share


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 50)
    monkeypatch.setattr(writer, "SAVE_BYTES", 150)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_an_interrupted_encoding_continues_and_writes_the_same_bytes(
    tokenizer: Path, tmp_path: Path, share: float
) -> None:
    texts = [write_clean(tmp_path / name, toy_documents(seed)) for seed, name in enumerate("ab")]
    run(texts, tokenizer, tmp_path / "whole")
    progress, should_stop = stop_at(share)
    with pytest.raises(Stopped):
        run(texts, tokenizer, tmp_path / "out", progress=progress, should_stop=should_stop)
    shares: list[float] = []
    encode_split(
        texts,
        tokenizer=tokenizer,
        output=tmp_path / "out",
        progress=shares.append,
        should_stop=lambda: False,
    )
    assert share - 0.1 < shares[0] < share + 0.1
    assert shares[-1] == 1.0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(FILES)
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.usefixtures("small_steps")
def test_an_encoding_with_other_chunks_is_also_continued(
    tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [write_clean(tmp_path / name, toy_documents(seed)) for seed, name in enumerate("ab")]
    run(texts, tokenizer, tmp_path / "whole")
    progress, should_stop = stop_at(0.6)
    output = tmp_path / "out"
    with pytest.raises(Stopped):
        run(texts, tokenizer, output, progress=progress, should_stop=should_stop)
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 33)
    shares: list[float] = []
    encode_split(
        texts,
        tokenizer=tokenizer,
        output=output,
        progress=shares.append,
        should_stop=lambda: False,
    )
    assert shares[0] > 0.5
    for name in FILES:
        assert (output / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize(
    ("name", "content"),
    [("tokens.bin", b""), ("progress.json", b"{"), ("documents.bin", None)],
)
def test_a_damaged_partial_encoding_is_encoded_again(
    tokenizer: Path, tmp_path: Path, name: str, content: bytes | None
) -> None:
    texts = [write_clean(tmp_path / "a", toy_documents(1))]
    run(texts, tokenizer, tmp_path / "whole")
    progress, should_stop = stop_at(0.5)
    output = tmp_path / "out"
    with pytest.raises(Stopped):
        run(texts, tokenizer, output, progress=progress, should_stop=should_stop)
    (output / name).write_bytes(content) if content is not None else (output / name).unlink()
    encode_split(
        texts, tokenizer=tokenizer, output=output, progress=ignore, should_stop=lambda: False
    )
    for each in FILES:
        assert (output / each).read_bytes() == (tmp_path / "whole" / each).read_bytes()
