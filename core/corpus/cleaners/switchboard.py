"""Switchboard: telephone talk, `A:` and `B:` before each turn, rests of disfluency markup."""

from core.corpus.rules import DROPPED, Cleaner, rule

CLEANER = Cleaner(
    version=1,
    steps=(
        rule("header", "= = =", r"\n= = = [^\n]*(?=\n)", "\n"),
        rule("speaker_label", ":", r"\n@?[AB](?:\.?\d+)?:", "\n" + DROPPED),
        rule("event", "<", r"<+[^<>\n]*>+"),
        rule("disfluency_mark", "{", r"\{[A-Z]\b"),
        rule("disfluency_mark", "}", r"\}"),
        rule("repair_bracket", "[", r"[\[\]]"),
        rule("repair_bracket", "]", r"[\[\]]"),
        rule("repair_mark", "+", r"(?<!\S)\+(?!\S)"),
        rule("unit_mark", "/", r"(?<!\S)-*/(?!\S)"),
        rule("uncertain_words", "((", r"\(\(|\)\)"),
        rule("uncertain_words", "))", r"\(\(|\)\)"),
        rule("stray_mark", "*", r"[*#<>]"),
        rule("stray_mark", "#", r"[*#<>]"),
        rule("stray_mark", "<", r"[*#<>]"),
        rule("stray_mark", ">", r"[*#<>]"),
        rule("space_before_mark", " ", r"(?<=\w) +(?=[.?!,](?:\s))", ""),
    ),
)
