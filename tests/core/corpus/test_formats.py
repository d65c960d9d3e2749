"""Raw files in the formats of the sources are cleaned: only the sentences in them are left."""

import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.corpus.blocks import BlockCleaner, split_blocks
from core.corpus.cleaners import cleaner_for
from core.corpus.stage import CleanWriter
from core.spec.corpus import CleanOptions
from tests.core.corpus.test_cleaners import SENTENCE

SENTENCES = st.lists(SENTENCE, min_size=1, max_size=8)
BLOCK_SIZES = (1, 40, 1 << 19)
quickly = settings(deadline=None, max_examples=60)


def clean_file(folder: Path, source: str, content: str, *, block_bytes: int) -> str:
    path = folder / "raw"
    path.write_bytes(content.encode())
    cleaner = cleaner_for(source, CleanOptions())
    written: list[bytes] = []
    writer = CleanWriter(lambda text: written.append(text) or 0)
    clean = BlockCleaner({source: cleaner})
    for block in split_blocks(path, source, cleaner, block_bytes=block_bytes):
        writer.add(clean(block))
    writer.finish()
    assert writer.words_in == len(content.split())
    assert writer.words_out == sum(len(text.split()) for text in written)
    return b"".join(written).decode()


def require(tmp_path_factory, source: str, content: str, expected: str) -> None:
    folder = tmp_path_factory.mktemp("formats")
    for size in BLOCK_SIZES:
        assert clean_file(folder, source, content, block_bytes=size) == expected


def lines_of(sentences) -> str:
    return "".join(f"{sentence}\n" for sentence in sentences)


@st.composite
def ends(draw):
    """A byte-order mark or nothing, and a line end."""
    return draw(st.sampled_from(["", "\ufeff"])), draw(st.sampled_from(["\n", "\r\n"]))


@st.composite
def chat_file(draw):
    sentences = draw(SENTENCES)
    speakers = st.sampled_from(["MOT", "CHI", "FAT_2", "J2", "GRANDMOTHER", "S-1"])
    lines = ["@UTF8", "@Begin", "@Comment:\tthe tape begins in the", "\tmiddle of a game ."]
    for sentence in sentences:
        spaced = sentence[-2].isalpha() and sentence[-1] in ".?!" and draw(st.booleans())
        said = f"{sentence[:-1]} {sentence[-1]}" if spaced else sentence
        wrapped = draw(st.booleans())
        if wrapped:
            said = said.replace(" ", "\n\t", 1)
        said = draw(st.sampled_from(["", "+< ", "&=laughs ", "# ", "&-um ", "(1.5) "])) + said
        said += draw(st.sampled_from(["", " \x1512_3400\x15", " \u20221_23\u2022", " [>]", " 1_2"]))
        lines.append(f"*{draw(speakers)}:\t{said}")
        lines += draw(
            st.sampled_from(
                [
                    [],
                    ["%mor:\tpro|it~cop|be&3S", "\tprep|over ."],
                    ["%gra:\t1|2|SUBJ", "\t2|0|ROOT", "\t3|2|PUNCT"],
                    ["%xpho-2:\ta b", "@New Episode"],
                    ["@Comment:\ta long", "\tcomment with the time \x151_2\x15", "\tand more"],
                ]
            )
        )
    mark, end = draw(ends())
    return mark + end.join([*lines, "@End", ""]), sentences


@quickly
@given(chat_file())
def test_only_the_utterances_of_a_chat_transcript_remain(tmp_path_factory, file):
    content, sentences = file
    require(tmp_path_factory, "childes", content, lines_of(sentences))


def cue_text(draw, sentence: str) -> str:
    kind = draw(st.sampled_from(["", "i", "font", "v", "{}", "&"]))
    if kind == "i":
        return f"<i>{sentence}</i>"
    if kind == "font":
        return f'<font color="#ffff00">{sentence}</font>'
    if kind == "v":
        return f"<v Roger Bingham>{sentence}"
    if kind == "{}":
        return "{\\an8}" + sentence
    if kind == "&":
        return sentence.replace(" ", " &lt;b&gt;", 1).replace(" ", "&nbsp;")
    return sentence


@st.composite
def srt_file(draw):
    sentences = draw(SENTENCES)
    lines, number = [], 1
    for index, sentence in enumerate(sentences):
        if draw(st.booleans()) or not index:
            lines += [] if not index else [""] * draw(st.sampled_from([0, 1, 1, 2]))
            lines += [str(number), f"00:00:{number:02d},100 --> 00:00:{number:02d},900"]
            number += 1
        lines.append(cue_text(draw, sentence))
        if draw(st.booleans()):
            lines.append("<i>Synced and corrected by somebody</i>")
    lines += ["", str(number), "00:01:00,000 --> 00:01:02,000 X1:1 X2:2", "www.OpenSubtitles.org"]
    mark, end = draw(ends())
    return mark + end.join([*lines, ""]), sentences


@st.composite
def vtt_file(draw):
    sentences = draw(SENTENCES)
    lines = ["WEBVTT - Example", "Kind: captions", "Language: en", ""]
    for number, sentence in enumerate(sentences, start=1):
        lines += draw(st.sampled_from([[], ["NOTE", "a note of", "two lines", ""], ["NOTE a", ""]]))
        lines += draw(st.sampled_from([[], [f"intro - {number}"], [str(number + 1)]]))
        lines += [f"00:{number:02d}.000 --> 00:{number:02d}.500 align:start position:0%"]
        text = cue_text(draw, sentence)
        if draw(st.booleans()):
            text = text.replace(" ", " <00:00:01.000><c>", 1) + "</c>"
        lines += [text, ""]
    mark, end = draw(ends())
    return mark + end.join(lines), sentences


@quickly
@given(st.one_of(srt_file(), vtt_file()))
def test_subtitles_leave_their_dialogue_as_one_document(tmp_path_factory, file):
    content, sentences = file
    require(tmp_path_factory, "open_subtitles", content, lines_of(sentences))


@quickly
@given(SENTENCES, SENTENCES)
def test_cues_that_count_from_one_again_begin_a_document(tmp_path_factory, first, second):
    films = []
    for sentences in (first, second):
        cues = [
            f"{number}\n00:00:01,000 --> 00:00:02,000\n{sentence}\n"
            for number, sentence in enumerate(sentences, start=1)
        ]
        films.append("\n".join(cues))
    expected = lines_of(first) + "\n" + lines_of(second)
    require(tmp_path_factory, "open_subtitles", "\n".join(films), expected)


LICENCE = """Updated editions will replace the previous one--the old editions will
be renamed.

START: FULL LICENSE

THE FULL PROJECT GUTENBERG LICENSE
PLEASE READ THIS BEFORE YOU DISTRIBUTE OR USE THIS WORK

To protect the Project Gutenberg mission of promoting the free
distribution of electronic works, you agree to comply with all the terms.

1.F.4. Except for the limited right of replacement or refund set forth
in paragraph 1.F.3, this work is provided to you 'AS-IS', WITH NO OTHER
WARRANTIES OF ANY KIND.

subscribe to our email newsletter to hear about new eBooks."""


@st.composite
def gutenberg_file(draw):
    books = draw(st.lists(st.lists(SENTENCES, min_size=1, max_size=3), min_size=1, max_size=2))
    this = draw(st.sampled_from(["THE", "THIS"]))
    width = draw(st.sampled_from([20, 72]))
    parts = []
    for book in books:
        paragraphs = [textwrap.fill(" ".join(each), width, break_on_hyphens=False) for each in book]
        header = draw(
            st.sampled_from(
                [
                    "The Project Gutenberg eBook of Goats\n\nThis ebook is for the use of anyone "
                    "anywhere in the\nUnited States.\n\nTitle: Goats\n\nAuthor: A. Goat",
                    "Project Gutenberg's Goats, by A. Goat\n\nLanguage: English",
                ]
            )
        )
        parts += [header, f"*** START OF {this} PROJECT GUTENBERG EBOOK GOATS ***"]
        parts += ["Produced by A. Goat and the Distributed Proofreaders", *paragraphs]
        end = draw(st.sampled_from(["", "End of Project Gutenberg's Goats, by A. Goat\n\n"]))
        parts += [f"{end}*** END OF {this} PROJECT GUTENBERG EBOOK GOATS ***", LICENCE]
    mark, end = draw(ends())
    text = "\n\n".join(parts) + "\n"
    expected = "\n".join(lines_of(" ".join(each) for each in book) for book in books)
    return mark + text.replace("\n", end), expected


@quickly
@given(gutenberg_file())
def test_a_project_gutenberg_file_becomes_one_line_per_paragraph(tmp_path_factory, file):
    content, expected = file
    require(tmp_path_factory, "gutenberg", content, expected)


def test_a_book_without_marks_and_verse_within_marks_keep_their_lines(tmp_path_factory):
    plain = "= = = PG1 = = =\nFirst line here\nSecond line here\n"
    require(tmp_path_factory, "gutenberg", plain, "First line here\nSecond line here\n")
    verse = "*** START OF THE PROJECT GUTENBERG EBOOK ***\nA song:\n\n  Row the\n  boat home.\n"
    require(tmp_path_factory, "gutenberg", verse, "A song:\nRow the\nboat home.\n")


def test_text_before_the_header_of_a_book_and_after_its_licence_stays(tmp_path_factory):
    content = (
        "= = = PG1 = = =\nA first book.\n"
        "The Project Gutenberg eBook of Goats\n\n"
        "*** START OF THE PROJECT GUTENBERG EBOOK GOATS ***\n\nA second\nbook.\n\n"
        f"*** END OF THE PROJECT GUTENBERG EBOOK GOATS ***\n{LICENCE}\n"
        "= = = PG3 = = =\nA third book.\n"
    )
    expected = "A first book.\n\nA second book.\n\nA third book.\n"
    require(tmp_path_factory, "gutenberg", content, expected)


@st.composite
def wiki_file(draw):
    sentences = draw(SENTENCES)
    lines = []
    for sentence in sentences:
        first, rest = sentence.split(" ", 1)
        marked = draw(
            st.sampled_from(
                [
                    sentence,
                    f"'''{first}''' {rest}",
                    f"[[{first}]] {rest}",
                    f"[[Some page|{first}]] {rest}",
                    f'{sentence}<ref name="a">Book, p. 3</ref>',
                    f"{first}<!-- a note --> {rest}",
                    f"{sentence}{{{{citation needed}}}}",
                    f"* {sentence}",
                    f"[https://example.org {first}] {rest}",
                    f"<small>{sentence}</small>",
                    f"[[File:a.jpg|thumb|A [[goat]] there]]{sentence}",
                ]
            )
        )
        for _ in range(draw(st.integers(0, 2))):
            marked = marked.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            marked = marked.replace('"', "&quot;")
        lines.append(marked)
        lines += draw(st.sampled_from([[], ["{| class=x", "|-", "| a cell", "|}"], ["__TOC__"]]))
    mark, end = draw(ends())
    return mark + end.join([*lines, ""]), sentences


@quickly
@given(wiki_file())
def test_only_the_sentences_of_escaped_wiki_markup_remain(tmp_path_factory, file):
    content, sentences = file
    require(tmp_path_factory, "simple_wiki", content, lines_of(sentences))


@pytest.mark.parametrize("source", ["bnc_spoken", "open_subtitles", "simple_wiki"])
def test_a_reference_never_ends_a_line_or_becomes_a_control_character(tmp_path_factory, source):
    content = "One&#10;two &#x2028; three&#0;&#1;&rlm; &amp;amp; four&nbsp;five.\n"
    expected = "One two three\ufffd & four five.\n"
    require(tmp_path_factory, source, content, expected)
