"""CHILDES: transcripts in the CHAT format (MacWhinney 2000, The CHILDES Project, part 1)."""

from core.corpus.layouts import cut_tiers, join_tiers
from core.corpus.rules import DROPPED, Cleaner, marks, rule, space_before

OVERLAP_MARKS = "\u2308\u2309\u230a\u230b"
"""Half brackets around words that two speakers say at once."""
PROSODY_MARKS = (
    "\u2021\u201e\u2191\u2193\u02c8\u02cc\u2260\u2197\u2192\u2198\u21d7\u2248\u2261\u2206\u2207\u223e"
    "\u204e\u2047\u2051\u222c\u222e\u2581\u2594\u25c9\u21ab\u21bb\u2219\u1f29\u263a\u2907"
)
"""Marks of satellites, tone, pitch, loudness and voice (CHAT manual, "CA coding")."""

CLEANER = Cleaner(
    version=3,
    join=join_tiers,
    cut=cut_tiers,
    steps=(
        rule("transcript_header", "\n= = = ", r"\n= = = [^\n]*(?=\n)", "\n"),
        rule("file_header", "\n@", r"\n@[A-Za-z][^\n]*", "\n" + DROPPED),
        rule("dependent_tier", "\n%", r"\n%[A-Za-z0-9_-]{2,16}:[^\n]*", "\n" + DROPPED),
        rule("speaker_code", "\n*", r"\n\*[A-Za-z0-9_-]{1,24}:", "\n" + DROPPED),
        rule("time_mark", "_", r"(?<!\S)\d+_\d+(?!\S)"),
        rule("action", "[", r"\[[^\[\]\n]*\]"),
        rule("event", "&{", r"&[{}](?<!\S&[{}])\S+"),
        rule("event", "&", r"&(?<!\S&)[=~+*-]?[\w:]+"),
        rule("pause", "#", r"#(?<!\S#)#*[\d_.:]*(?!\S)"),
        rule("not_understood", "xxx", r"xxx(?<![\w']xxx)(?![\w'])"),
        rule("not_understood", "yyy", r"yyy(?<![\w']yyy)(?![\w'])"),
        rule("not_transcribed", "www", r"www(?<![\w']www)(?![\w'.])"),
        rule("omitted_word", "0", r"0(?<!\S0)[a-z]+"),
        rule("omitted_word", "0", r"\n[\x00 ]*0 ?[.?!]?(?=\n)", "\n" + DROPPED),
        rule("terminator", "+", r"\+(?<!\S\+)[^\w\s]\S*"),
        rule("pause", "(.", r"\(\.{1,3}\)"),
        rule("pause", "(", r"\((?:\d{1,3}:)?\d{1,4}\.\d{0,3}\)"),
        rule("restored_letters", "(", r"\((?<=\w\()([\w']+)\)", r"\1"),
        rule("restored_letters", "(", r"\(([\w']+)\)(?=\w)", r"\1"),
        rule("compound_mark", "+", r"\+(?<=\w\+)(?=\w)", " "),
        rule("compound_mark", "+'", r"\+(?<=\w\+)(?=')", ""),
        rule("word_form_mark", "@", r"@(?<=\w@)[a-z]+(?:[:$][a-z]+)?\b", ""),
        *marks("retrace_bracket", "<>"),
        *marks("overlap_mark", OVERLAP_MARKS),
        *marks("prosody_mark", PROSODY_MARKS),
        rule("prosody_mark", "^", r"\^(?=\w)", ""),
        rule("lengthened_sound", ":", r":(?<=[^\W\d_]:)(?=[\w:]|[^\S\n]|\n)", ""),
    ),
    closing=space_before(".?!,"),
)
