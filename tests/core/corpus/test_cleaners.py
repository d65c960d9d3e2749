"""Cleaners: golden files written for this project, and properties that hold for any text."""

import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.corpus.blocks import clean_text
from core.corpus.cleaners import PLAIN, STANDARD, UPSTREAM, cleaner_for
from core.corpus.sources import BABYLM_SOURCES, find_source_files
from core.errors import CleanerMissing
from core.sample.formats import FORMATS
from core.spec.corpus import CleanOptions

GOLDEN = Path(__file__).parent / "golden"
MARKUP = {
    "bnc_spoken": [r"^= = = ", r"^(PS\w{3}|UNKNOWN):", r"<[^<>\n]{1,80}>", r"\[[^\[\]\n]*\]"],
    "childes": [
        *(
            r"^= = = ",
            r"^@[A-Za-z]",
            r"^%[A-Za-z0-9_-]{2,16}:",
            r"^\*[A-Za-z0-9_-]{1,24}:",
            r"[<>]",
            r"\(\.+\)",
        ),
        *(r"\[[^\[\]\n]*\]", r"(?<![\w'])(xxx|yyy)(?![\w'])", r"(?<!\S)&\w", r"\w\+\w"),
        *(r"(?<!\S)\d+_\d+(?!\S)", r"\w@[a-z]", r"(?<!\S)\+[./!?]", r"[\u2191\u2193\u2021\u201e]"),
        *(r"[\u2308-\u230b]", r"\(\d+\.\d*\)", r"\x15", r"(?<!\S)#(?!\S)", r"(?<!\S)&[{}]"),
    ],
    "gutenberg": [
        *(
            r"^= = = ",
            r"Project Gutenberg",
            r"\[Illustration[^\[\]\n]*\]",
            r"\[Footnote[^\[\]\n]*\]",
        ),
        *(r"\[\d+\]", r"\{\d+\}", r"(?<!\w)_\w+_(?!\w)", r"^\*{3} START"),
        *(r"^\*{3} ?END", r"^Produced by "),
    ],
    "open_subtitles": [
        *(r"^= = = ", r"\d:\d\d\S* --> ", r"</?[A-Za-z][^<>\n]{0,60}>", r"\{[^{}\n]*\}", r"www\."),
        *(r"\[[^\[\]\n]*\]", r"[\u2669-\u266f]", r"^[-\u2013\u2014] *\w", r"^[A-Z]+: "),
        *(r"&amp;", r"&lt;", r"&nbsp;", r"https?://", r"^WEBVTT$"),
    ],
    "simple_wiki": [
        *(r"^= = = ", r"^==+ [^=\n]+ ==+$", r"\{\{[^{}\n]*\}\}", r"\[\[[^\[\]\n]*\]\]"),
        *(r"</?[A-Za-z][^<>\n]{0,200}>", r"\[\d+\]", r"&lt;", r"&amp;", r"''", r"<!--.*-->"),
        *(r"^\{\|", r"^\|", r"^\*", r"__[A-Z]+__", r"\[https?://[^\s\[\]]+ "),
    ],
    "switchboard": [r"^= = = ", r"^@?[AB](\.?\d+)?:", r"[<>{}\[\]*#]", r"(?<!\S)/(?!\S)", r"\(\("],
}
"""Patterns that cleaned text of a source must not contain."""
PIECES = [
    *(
        "= = = ",
        " = = =",
        "*MOT:\t",
        "*J2:",
        "%mor:\t",
        "@Begin",
        "A:\t",
        "B.12:",
        "PS0AB: ",
        "BOB:",
    ),
    *("[", "]", "[[", "]]", "{{", "}}", "{", "}", "<", ">", "<i>", "</ref>", "(", ")", "((", "(.)"),
    *("xxx", "yyy", "www", "&=laughs", "&um", "+...", "+", "+'", "@c", "0", "0is", "1200_1450"),
    *(
        "_",
        "=",
        "==",
        "*",
        "*sd",
        "#",
        "|",
        "/",
        "-/",
        "-->",
        "0:12",
        "-",
        "--",
        "\u266a",
        "\u2191",
    ),
    *(
        " ",
        "  ",
        "\t",
        "\n",
        "\n\n",
        "\r\n",
        "\r",
        "\x0b",
        "\x85",
        "\xa0",
        "\u2028",
        "\u200b",
        "\ufeff",
    ),
    *(
        "\x00",
        "\x01",
        *("\x15", "\u2308", "&amp;", "&lt;", "&gt;", "&#10;", "''", "{|", "<!--", "-->", "WEBVTT"),
        *("http://a.b", "__TOC__", "*** END", "Produced by ", "\n\tx", "&{l=x", "(1.5)", "#", "^"),
        "\u202d",
        "\u0130",
        "\u00a8",
        "\u2126",
        "\U0001f600",
        "\u0301",
        "www.a.org",
        "sdwww.a.org",
    ),
    *(
        "word",
        "Goat",
        "don't",
        "7",
        ".",
        "?",
        ",",
        "!",
        "Project Gutenberg",
        "Subtitles by",
        "a",
        "b",
    ),
]
TEXT = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=30).map("".join),
    st.text(max_size=60),
)
WORD = st.from_regex(r"[a-z]{1,9}", fullmatch=True)
SENTENCE = st.builds(
    lambda words, comma, mark: (
        " ".join([words[0].capitalize(), *words[1:-1], words[-1]]).replace(" ", comma, 1) + mark
    ),
    st.lists(WORD.filter(lambda word: word not in ("xxx", "yyy", "www")), min_size=2, max_size=8),
    st.sampled_from([" ", ", ", "'s ", "; ", " - ", "\u2019s "]),
    st.sampled_from([".", "?", "!", "...", '."', "-five."]),
)
quickly = settings(deadline=None, max_examples=30)
every_source = pytest.mark.parametrize("source", STANDARD)
every_source_and_style = pytest.mark.parametrize(
    ("source", "style"),
    [
        *((source, style) for source in STANDARD for style in ("standard", "none")),
        *((source, "upstream") for source in UPSTREAM),
    ],
)


def clean(text, source, **options):
    return clean_text(text, cleaner_for(source, CleanOptions(**options))).content.decode()


@pytest.mark.parametrize(
    ("source", "style", "suffix"),
    [
        *((source, "standard", "clean") for source in STANDARD),
        *((source, "upstream", "upstream") for source in UPSTREAM),
    ],
)
def test_golden_text_is_cleaned_as_expected(source, style, suffix):
    raw = (GOLDEN / f"{source}.raw").read_bytes().decode()
    assert clean(raw, source, style=style) + "\n" == (GOLDEN / f"{source}.{suffix}").read_text()


def test_every_cleaner_has_its_golden_files_and_its_list_of_markup():
    assert {path.stem for path in GOLDEN.glob("*.raw")} == set(STANDARD) >= set(UPSTREAM)
    assert set(MARKUP) == set(STANDARD) - {PLAIN}
    assert set(FORMATS) == set(BABYLM_SOURCES) == set(UPSTREAM) - {PLAIN}


@every_source
@pytest.mark.parametrize("style", ["standard", "none"])
@quickly
@given(TEXT)
@example("((((((((((((((((((((((((((((((((((((((((a)))))))))))))))))))))))))))))))))))))))))")
@example("- - - - - - - - - - - - - - - - - - - - - - - - - - - - -")
@example("1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1x")
def test_cleaning_twice_is_cleaning_once(source, style, text):
    once = clean(text, source, style=style)
    assert clean(once, source, style=style) == once


@every_source_and_style
@quickly
@given(TEXT)
def test_clean_text_has_the_promised_form(source, style, text):
    once = clean(text, source, style=style)
    assert "\x00" not in once
    for line in once.split("\n"):
        assert line == " ".join(line.split())
    assert "\n\n\n" not in once
    assert once == once.strip("\n")


@pytest.mark.parametrize("source", MARKUP)
@quickly
@given(TEXT)
def test_no_markup_of_its_source_is_left(source, text):
    cleaned = clean(text, source)
    for pattern in MARKUP[source]:
        assert not re.search(pattern, cleaned, re.MULTILINE), pattern


@every_source
@quickly
@given(st.lists(st.lists(SENTENCE, min_size=1, max_size=4), min_size=1, max_size=4))
def test_plain_sentences_pass_unchanged(source, documents):
    text = "\n\n".join("\n".join(lines) for lines in documents)
    assert clean(text, source) == text


@every_source_and_style
@quickly
@given(TEXT)
def test_counts_are_those_of_the_text(source, style, text):
    result = clean_text(text, cleaner_for(source, CleanOptions(style=style)))
    lines = [line for line in result.content.decode().split("\n") if line]
    assert result.words_in == len(text.split())
    assert result.words_out == sum(len(line.split()) for line in lines)
    assert result.lines_out == len(lines)
    assert result.documents_within == result.content.decode().count("\n\n")
    assert all(count > 0 for count in result.drops.counts.values())


@every_source
@quickly
@given(TEXT)
def test_options_lower_the_case_and_strip_punctuation(source, text):
    lowered = clean(text, source, lowercase=True)
    assert lowered == lowered.lower()
    bare = clean(text, source, punctuation="strip", style="none")
    assert not re.search(r"[^\w\s]|_", bare)
    assert bare.split() == re.sub(r"[^\w\s]|_", " ", clean(text, source, style="none")).split()


def test_a_source_that_a_style_does_not_know_is_a_named_error():
    with pytest.raises(
        CleanerMissing, match=r"has no cleaner for the source podcasts; it has cleaners"
    ):
        cleaner_for("podcasts", CleanOptions(style="upstream"))


def test_a_file_is_cleaned_by_the_cleaner_of_its_stem_or_as_plain_text(tmp_path):
    for name in (*(f"{source}.train" for source in STANDARD if source != PLAIN), "other.txt"):
        (tmp_path / name).write_text("text\n")
    sources = {file.path.name: file.source for file in find_source_files(tmp_path)}
    assert sources == {
        **{f"{source}.train": source for source in STANDARD if source != PLAIN},
        "other.txt": PLAIN,
    }


def test_dropped_things_are_counted_with_examples():
    raw = (GOLDEN / "childes.raw").read_bytes().decode()
    drops = clean_text(raw, cleaner_for("childes", CleanOptions())).drops
    assert drops.counts["speaker_code"] == 17
    assert drops.examples["speaker_code"][0] == "*MOT:"
    assert drops.counts["not_understood"] == 2
    assert drops.examples["action"][:2] == ["[bangs spoon]", "[mother leaves the room]"]
    assert drops.examples["compound_mark"] == ["don't you want the sand+castle ?"]
    assert drops.counts["control_character"] == 1


def test_a_line_in_which_markup_never_ends_is_dropped_and_counted():
    nested = "(a " * 50 + ")" * 50
    result = clean_text(
        f"before\n{nested}\nbehind\n", cleaner_for("open_subtitles", CleanOptions())
    )
    assert result.content == b"before\nbehind"
    assert result.drops.counts["endless_markup"] == 1
