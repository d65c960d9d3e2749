"""Cleaning a dataset gives the same bytes with any size of blocks and any number of processes."""

import math
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.corpus.blocks import LONGEST_LINE_BYTES, Block, BlockCleaner, clean_text, split_blocks
from core.corpus.cleaners import PLAIN, STANDARD, cleaner_for
from core.corpus.report import CleanReport
from core.corpus.sources import find_source_files
from core.corpus.stage import CleanWriter, clean_corpus, count_words, preview
from core.errors import CorpusEmpty, CorpusEncoding, CorpusMissing, Stopped
from core.sample import write_sample
from core.spec.corpus import CleanOptions

OPTIONS = CleanOptions()


def never():
    return False


def ignore(share):
    assert 0.0 <= share <= 1.0


def run(folder, output, *, options=OPTIONS, processes=1, should_stop=never, sources=None):
    output.mkdir()
    return clean_corpus(
        find_source_files(folder, sources=sources),
        options=options,
        output=output,
        progress=ignore,
        should_stop=should_stop,
        processes=processes,
    )


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Training folder of a sample corpus. Its larger files have more than one block."""
    folder = tmp_path_factory.mktemp("data")
    return write_sample(folder, target_bytes=2_400_000).train


def test_the_bytes_do_not_depend_on_the_number_of_processes(sample, tmp_path):
    reports = [run(sample, tmp_path / str(count), processes=count) for count in (1, 3)]
    assert reports[0] == reports[1]
    for file in find_source_files(sample):
        one, three = (tmp_path / name / f"{file.stem}.txt" for name in "13")
        assert one.read_bytes() == three.read_bytes()
    assert any(file.bytes > 600_000 for file in find_source_files(sample))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.sampled_from(
            ["*MOT:\tmore .", "", "[laughs]", "= = = a/b.cha = = =", "xxx .", " \t", "hm"]
        ),
        max_size=12,
    ),
    st.data(),
)
def test_the_bytes_do_not_depend_on_where_blocks_are_cut(lines, data):
    raw = [line + "\n" for line in lines]
    cuts = data.draw(st.sets(st.integers(0, len(raw)))) | {0, len(raw)}
    places = sorted(cuts)
    cleaner = cleaner_for("childes", OPTIONS)
    whole, pieces = [], []
    for written, texts in (
        (whole, ["".join(raw)]),
        (pieces, ["".join(raw[a:b]) for a, b in pairwise(places)]),
    ):
        writer = CleanWriter(lambda content, written=written: written.append(content) or 0)
        for text in filter(None, texts):
            writer.add(clean_text(text, cleaner))
        writer.finish()
        written.append(b"%d %d" % (writer.documents, writer.words_out))
        written.append(repr(writer.lengths.bins).encode())
    assert b"".join(pieces) == b"".join(whole)


def test_blocks_are_whole_lines_and_the_whole_file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(
        b"".join(b"%d words in a line\n" % number for number in range(60_000)) + b"end"
    )
    blocks = list(split_blocks(path, PLAIN))
    content = path.read_bytes()
    assert len(blocks) > 2
    assert b"".join(content[block.begin : block.end] for block in blocks) == content
    assert all(content[block.end - 1 : block.end] == b"\n" for block in blocks[:-1])


def test_the_report_accounts_for_every_word(sample, tmp_path):
    report = run(sample, tmp_path / "out")
    for file in find_source_files(sample):
        source = report.sources[file.stem]
        raw = file.path.read_text(encoding="utf-8")
        clean = (tmp_path / "out" / f"{file.stem}.txt").read_text(encoding="utf-8")
        assert source.words_in == sum(len(line.split()) for line in raw.split("\n"))
        assert source.words_out == sum(len(line.split()) for line in clean.split("\n"))
        assert source.lines_out == sum(bool(line) for line in clean.split("\n"))
        documents = clean.split("\n\n")
        assert source.documents == len(documents)
        bins = Counter(int(math.log2(len(document.split()))) for document in documents)
        assert source.document_lengths == [bins[number] for number in range(max(bins) + 1)]
        assert source.bytes_out == len(clean.encode())
        assert source.bytes_in == file.bytes
    assert (
        CleanReport.model_validate_json((tmp_path / "out" / "report.json").read_bytes()) == report
    )


def test_a_cleaned_corpus_cleaned_again_is_the_same(sample, tmp_path):
    run(sample, tmp_path / "once")
    run(tmp_path / "once", tmp_path / "twice")
    for stem in STANDARD:
        if stem != PLAIN:
            once, twice = (tmp_path / name / f"{stem}.txt" for name in ("once", "twice"))
            assert once.read_bytes() == twice.read_bytes()


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"", CorpusEmpty, r"bad\.txt contains no text"),
        (b" \n\t\n\x00\n", CorpusEmpty, r"bad\.txt contains no text"),
        (
            b"good\nbad \xff byte\n",
            CorpusEncoding,
            r"bad\.txt is not UTF-8: line 2, byte 5 is 0xff",
        ),
        ("text".encode("utf-16"), CorpusEncoding, r"bad\.txt is not UTF-8: line 1, byte 1"),
        (
            b"a line\n" + b"x " * (LONGEST_LINE_BYTES // 2 + 1),
            CorpusEncoding,
            r"bad\.txt has a line of more than 16,777,216 bytes, at byte 7",
        ),
    ],
)
def test_an_error_names_the_file(tmp_path, content, error, message, processes):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a_good.txt").write_text("text\n")
    (tmp_path / "data" / "bad.txt").write_bytes(content)
    with pytest.raises(error, match=message):
        run(tmp_path / "data", tmp_path / "out", processes=processes)


def test_blocks_of_any_size_are_refused_only_for_a_long_line(tmp_path):
    path, size = tmp_path / "a.txt", 2 * LONGEST_LINE_BYTES
    path.write_bytes(b"short\n" * (size // 6))
    (block,) = split_blocks(path, PLAIN, block_bytes=size)
    assert (block.begin, block.end) == (0, path.stat().st_size)
    path.write_bytes(b"short\n" + b"x" * LONGEST_LINE_BYTES + b"\nshort\n" * 2)
    for block_bytes in (1, size):
        with pytest.raises(CorpusEncoding, match="at byte 6"):
            list(split_blocks(path, PLAIN, block_bytes=block_bytes))


def test_a_file_that_vanishes_is_an_error_that_names_it(tmp_path):
    with pytest.raises(CorpusMissing, match=r"gone\.txt cannot be read: No such file"):
        list(split_blocks(tmp_path / "gone.txt", PLAIN))
    block = Block(tmp_path / "gone.txt", PLAIN, 0, 10)
    with pytest.raises(CorpusMissing, match=r"gone\.txt cannot be read: No such file"):
        BlockCleaner({PLAIN: cleaner_for(PLAIN, OPTIONS)})(block)


def test_a_missing_folder_or_source_is_an_error_that_names_it(tmp_path):
    with pytest.raises(CorpusMissing, match=r"no dataset folder .*nowhere"):
        find_source_files(tmp_path / "nowhere")
    with pytest.raises(CorpusMissing, match="has no text file"):
        find_source_files(tmp_path)
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(CorpusMissing, match=r"has no file childes\.train"):
        find_source_files(tmp_path, sources=["childes"])
    for number in range(21):
        (tmp_path / f"b{number:02}.txt").write_text("text")
    with pytest.raises(CorpusMissing, match=r"sources are a, b00, .*b18 and 2 more") as raised:
        find_source_files(tmp_path, sources=["childes"])
    assert "data.dataset or data.validation" in raised.value.hint


def test_a_stop_request_is_checked_between_blocks(sample, tmp_path):
    asked = iter([False] * 3 + [True] * 100)
    with pytest.raises(Stopped):
        run(sample, tmp_path / "out", should_stop=lambda: next(asked))


def test_a_long_line_within_the_limit_is_text(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "long.txt").write_bytes(b"first\n" + b"word " * 300_000 + b"\nlast\n")
    report = run(tmp_path / "data", tmp_path / "out")
    assert report.words_out == 300_002


def test_a_preview_pairs_raw_and_clean_lines(tmp_path):
    path = tmp_path / "childes.train"
    path.write_text("*MOT:\tput it down .\r\n[laughs]\n*CHI:\tno .\n")
    (file,) = find_source_files(tmp_path)
    assert preview(file, options=OPTIONS, max_lines=2) == [
        ("*MOT:\tput it down .", "put it down."),
        ("[laughs]", None),
    ]


def test_the_words_of_a_file_are_counted_for_every_encoding(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"one \xff two\nthree\n\n four")
    assert count_words(path) == 5
