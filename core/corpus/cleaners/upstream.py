"""What the research scripts did, for a comparison with their results.

Upstream lower-cases five of the six sources and keeps only letters of ASCII, digits and some
punctuation. Two of its habits look at neighbouring lines and are not repeated: it joins lines of
one CHILDES speaker, and it forgets where documents end.
"""

import re
import unicodedata
from functools import partial

from core.corpus.rules import DROPPED, Cleaner, Transform, rule

NOT_SPOKEN = re.compile(r"[^\w\s.,!?'\-\x00]+")
NOT_WORDS = re.compile(r"[^\w\s\x00]+")
NOT_PLAIN = re.compile(r"[^a-z0-9\s.,!?'\x00]+")
NOT_BARE = re.compile(r"[^a-z0-9\s\x00]+")
REPEATED = re.compile(r"([^\s\x00])\1{2,}")


def _lower(block: str) -> str:
    # A form such as U+00A8 becomes a space and an accent; line breaks never come or go.
    return unicodedata.normalize("NFKC", block.lower())


LOWER = Transform(_lower)
HEADER = rule("header", "= = =", r"\n= = = [^\n]*(?=\n)", "\n")
URL_LINE = rule("line_with_address", "://", r"\n[^\n]*https?://[^\n]*", "\n" + DROPPED)
WWW_LINE = rule("line_with_address", "www.", r"\n[^\n]*www\.[^\n]*", "\n" + DROPPED)
PLAIN = Transform(partial(NOT_PLAIN.sub, DROPPED))

BNC_SPOKEN = Cleaner(
    version=2,
    steps=(
        HEADER,
        rule("address", "http", r"http\S+", DROPPED),
        rule("address", "www", r"www\S+", DROPPED),
        rule("tag", "<", r"<[^<>\n]+>", DROPPED),
        Transform(partial(NOT_SPOKEN.sub, DROPPED)),
    ),
    needs_words=False,
)
CHILDES = Cleaner(
    version=2,
    steps=(
        HEADER,
        rule("dependent_tier", "\n%", r"\n%[^\n]*", "\n" + DROPPED),
        rule("speaker_code", "\n*", r"\n\*\w+: ?", "\n" + DROPPED),
        rule("error_mark", "[*", r"\[\*[^\[\]\n]+\]", DROPPED),
        rule("replacement", "[:", r"\[:+[^\[\]\n]*\]", DROPPED),
        rule("event", "&=0", r"&=0[\w:]+", DROPPED),
        rule("event", "&=", r"&=(\S+)", r"[\1]"),
        rule("word_form_mark", "@", r"@[\w:$*]+", DROPPED),
        rule("fragment", "&", r"&\+\w+|&-|&~", DROPPED),
        rule("pause", "(", r"\(\d*\.+\d*\)", DROPPED),
        rule("omitted_letters", "(", r"\(\w+?\)", "'"),
        rule("omitted_word", "0", r"(?<!\w)0\w*", DROPPED),
        rule("not_understood", "xxx", r"\bxxx\b", DROPPED),
        rule("prosody_mark", "", r"[\u2021\u201e\u2191\u2193\u02c8\u02cc\u2260]", DROPPED),
        rule("terminator", "+", r"\+[/.!?]+", "..."),
        rule("bracket", "<", r"[<>]", DROPPED),
        rule("action", "[", r"\[[^\[\]\n]*\]", DROPPED),
        Transform(str.lower),
        Transform(partial(NOT_WORDS.sub, DROPPED)),
    ),
    needs_words=False,
)
GUTENBERG = Cleaner(
    version=2,
    steps=(
        HEADER,
        LOWER,
        rule("equals_line", "=", r"\n=[^\n]*", "\n" + DROPPED),
        URL_LINE,
        WWW_LINE,
        rule("page_line", "", r"\n(?:pg|page|p\.?) ?\d{3,6}(?=\n)", "\n" + DROPPED),
        rule(
            "chapter_line", "chapter", r"\nchapter (?:\d+|[ivxlc]+|[a-z]+)\b[^\n]*", "\n" + DROPPED
        ),
        rule("contents_line", "", r"\n[a-z ]+\d[\d ]*(?=\n)", "\n" + DROPPED),
        rule("illustration", "[illustration", r"\[illustration[^\[\]\n]*\]", DROPPED),
        rule("page", "page", r"\bpage \d+\b", DROPPED),
        PLAIN,
    ),
    needs_words=False,
)
OPEN_SUBTITLES = Cleaner(
    version=2,
    steps=(
        HEADER,
        LOWER,
        PLAIN,
        rule("address", "http", r"http\S+", DROPPED),
        rule("address", "www", r"www\S+", DROPPED),
        Transform(partial(REPEATED.sub, r"\1\1")),
    ),
    needs_words=False,
)
SIMPLE_WIKI = Cleaner(
    version=2, steps=(HEADER, LOWER, URL_LINE, WWW_LINE, PLAIN), needs_words=False
)
SWITCHBOARD = Cleaner(
    version=2,
    steps=(
        HEADER,
        LOWER,
        rule("speaker_label", ":", r"\n[a-z]:", "\n" + DROPPED),
        URL_LINE,
        WWW_LINE,
        Transform(partial(NOT_BARE.sub, DROPPED)),
    ),
    needs_words=False,
)
