"""Words that are too long are split.

A file that is not text is refused with an error that names the file and its kind.
"""

import gzip

import pytest

from core.corpus.blocks import BLOCK_BYTES, clean_text
from core.corpus.cleaners import PLAIN, STANDARD, cleaner_for
from core.corpus.content import foreign_content
from core.corpus.long_words import MAX_WORD_CHARACTERS
from core.corpus.sources import find_source_files
from core.corpus.stage import clean_corpus
from core.errors import CleanerMissing, CorpusNotText
from core.spec.corpus import CleanOptions

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


def run(folder, output, style="standard"):
    output.mkdir()
    return clean_corpus(
        find_source_files(folder),
        options=CleanOptions(style=style),
        output=output,
        progress=lambda _: None,
        should_stop=lambda: False,
        processes=1,
    )


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (LFS, "a Git LFS pointer"),
        (b"../../.git/annex/objects/aa/bb/MD5-s1--d4/MD5-s1--d4\n", "a git-annex pointer"),
        (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>\n", "an HTML page"),
        (b"\xef\xbb\xbf\r\n <HTML lang='en'>\n", "an HTML page"),
        (gzip.compress(b"text", mtime=0), "a gzip file"),
        (b"PK\x03\x04\x14\x00\x00\x00", "a zip archive"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF"),
    ],
)
@pytest.mark.parametrize("name", ["childes.train", "notes.txt"])
def test_a_file_that_is_not_text_is_refused_with_its_kind(tmp_path, content, what, name):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_bytes(content)
    with pytest.raises(CorpusNotText, match=rf"{name} is {what}") as raised:
        run(tmp_path / "data", tmp_path / "out")
    assert raised.value.hint != CorpusNotText.hint


@pytest.mark.parametrize(
    "text", [b"BZhang said so.\n", b"version one\n", b"<i>Hello</i>\n", b"PK is short.\n", b""]
)
def test_text_that_begins_like_something_else_is_text(text):
    assert foreign_content(text) is None


@pytest.mark.parametrize("style", ["standard", "upstream", "none"])
@pytest.mark.parametrize("source", STANDARD)
def test_a_word_of_300_kilobytes_is_split_and_named_with_its_line(tmp_path, source, style):
    word = "Ab3d" * 75_000
    lines = ["Good words here."] * (BLOCK_BYTES // 10) + [f"before {word} behind"]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / f"{source}.txt").write_text("\n".join(lines))
    report = run(tmp_path / "data", tmp_path / "out", style).sources[source]
    text = (tmp_path / "out" / f"{source}.txt").read_text()
    assert max(map(len, text.split())) <= MAX_WORD_CHARACTERS
    assert report.dropped["long_word"].count == 1
    assert report.dropped["long_word"].examples[0].startswith(f"line {len(lines):,}: Ab3dAb3d")


def test_words_of_the_longest_length_pass_unchanged():
    word = "a" * MAX_WORD_CHARACTERS
    cleaned = clean_text(f"{word} {word}\n", cleaner_for(PLAIN, CleanOptions()))
    assert cleaned.content.decode() == f"{word} {word}"
    assert "long_word" not in cleaned.drops.counts


def test_a_style_without_a_cleaner_for_a_source_is_an_error_with_both_names():
    with pytest.raises(CleanerMissing, match=r"is upstream, .* source childes2"):
        cleaner_for("childes2", CleanOptions(style="upstream"))
