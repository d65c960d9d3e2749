"""CHILDES: transcripts in the CHAT format (MacWhinney 2000, The CHILDES Project, part 1)."""

from core.corpus.rules import DROPPED, Cleaner, marks, rule, space_before

CLEANER = Cleaner(
    version=2,
    steps=(
        rule("transcript_header", "\n= = = ", r"\n= = = [^\n]*(?=\n)", "\n"),
        rule("file_header", "\n@", r"\n@[A-Z][^\n]*", "\n" + DROPPED),
        rule("dependent_tier", "\n%", r"\n%[A-Za-z]{2,6}:[^\n]*", "\n" + DROPPED),
        rule("speaker_code", "\n*", r"\n\*[A-Za-z0-9]{1,4}:", "\n" + DROPPED),
        rule("time_mark", "_", r"(?<!\S)\d+_\d+(?!\S)"),
        rule("action", "[", r"\[[^\[\]\n]*\]"),
        rule("event", "&", r"&(?<!\S&)[=~+*-]?[\w:]+"),
        rule("not_understood", "xxx", r"xxx(?<![\w']xxx)(?![\w'])"),
        rule("not_understood", "yyy", r"yyy(?<![\w']yyy)(?![\w'])"),
        rule("not_transcribed", "www", r"www(?<![\w']www)(?![\w'.])"),
        rule("omitted_word", "0", r"0(?<!\S0)[a-z]+"),
        rule("omitted_word", "0", r"\n[\x00 ]*0 ?[.?!]?(?=\n)", "\n" + DROPPED),
        rule("terminator", "+", r"\+(?<!\S\+)[^\w\s]\S*"),
        rule("pause", "(.", r"\(\.{1,3}\)"),
        rule("restored_letters", "(", r"\((?<=\w\()([\w']+)\)", r"\1"),
        rule("restored_letters", "(", r"\(([\w']+)\)(?=\w)", r"\1"),
        rule("compound_mark", "+", r"\+(?<=\w\+)(?=\w)", " "),
        rule("compound_mark", "+'", r"\+(?<=\w\+)(?=')", ""),
        rule("word_form_mark", "@", r"@(?<=\w@)[a-z]+(?:[:$][a-z]+)?\b", ""),
        *marks("retrace_bracket", "<>"),
        *marks("prosody_mark", "\u2021\u201e\u2191\u2193\u02c8\u02cc"),
    ),
    closing=space_before(".?!,"),
)
