"""Estimates of the number of words after cleaning, which are measured on samples of the text."""

import lzma
from random import Random

import pytest

from core.corpus.sources import find_source_files
from core.corpus.stage import clean_corpus
from core.corpus.word_estimate import SAMPLE_BYTES, SAMPLES, words_after_cleaning
from core.sample import write_sample
from core.spec.corpus import CleanOptions


def cleaned(folder, output, options) -> int:
    output.mkdir()
    return clean_corpus(
        find_source_files(folder),
        options=options,
        output=output,
        progress=lambda _: None,
        should_stop=lambda: False,
        processes=1,
    ).words_out


@pytest.mark.parametrize("style", ["standard", "upstream", "none"])
def test_samples_of_large_files_are_within_one_percent(tmp_path, style):
    folder = write_sample(tmp_path / "data", target_bytes=1_600_000).train
    options = CleanOptions(style=style)
    files = find_source_files(folder)
    assert max(file.bytes for file in files) > SAMPLES * SAMPLE_BYTES
    words = words_after_cleaning(files, options)
    assert not words.is_exact
    assert words.count == pytest.approx(cleaned(folder, tmp_path / "out", options), rel=0.01)


def test_a_compressed_file_is_estimated_by_its_share_that_was_read(tmp_path):
    draw = Random(0).choices
    words = ["".join(draw("abcdefghijklmnopqrstuvwxyz", k=5)) for _ in range(4 * SAMPLE_BYTES)]
    text = "\n".join(" ".join(words[begin : begin + 10]) for begin in range(0, len(words), 10))
    path = tmp_path / "notes.txt.xz"
    path.write_bytes(lzma.compress(text.encode()))
    assert len(text) > SAMPLES * SAMPLE_BYTES
    found = words_after_cleaning(find_source_files(tmp_path), CleanOptions(style="none"))
    assert not found.is_exact
    assert found.count == pytest.approx(len(words), rel=0.15)
    path.write_bytes(lzma.compress(text[: len(text) // 2].encode()))
    found = words_after_cleaning(find_source_files(tmp_path), CleanOptions(style="none"))
    assert (found.count, found.is_exact) == (len(text[: len(text) // 2].split()), True)


def test_small_files_are_exact_and_measured_again_when_they_change(tmp_path):
    (tmp_path / "childes.train").write_text("*MOT:\tno [laughs] .\n%mor:\tco|no .\n")
    assert words_after_cleaning(find_source_files(tmp_path), CleanOptions()).count == 1
    (tmp_path / "childes.train").write_text("*MOT:\tno no no .\n*CHI:\txxx .\n")
    words = words_after_cleaning(find_source_files(tmp_path), CleanOptions())
    assert (words.count, words.is_exact) == (3, True)
