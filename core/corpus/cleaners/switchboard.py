"""Switchboard: telephone calls, with `A:` or `B:` before each turn and remains of markup."""

from core.corpus.rules import DROPPED, Cleaner, marks, rule, space_before

CLEANER = Cleaner(
    version=2,
    steps=(
        rule("header", "\n= = = ", r"\n= = = [^\n]*(?=\n)", "\n"),
        rule("speaker_label", ":", r"\n@?[AB](?:\.?\d+)?:", "\n" + DROPPED),
        rule("event", "<", r"<[^<>\n]*>"),
        rule("event", "_talking", r"(?<!\S)[a-z]+_talking\b"),  # an event without its brackets
        # Notes of the transcribers after a star, such as *typo, *sd or *slash error.
        rule("transcriber_note", "*", r"\*[^\n*]{1,40}(?=\n)"),
        rule("transcriber_note", "*", r"\*(?:slash error|listen\b|[a-z]{2}(?:,[a-z]{2})*\b)"),
        rule("disfluency_mark", "{", r"\{[A-Z]\b"),
        *marks("disfluency_mark", "{}"),
        *marks("repair_bracket", "[]"),
        rule("repair_mark", "+", r"\+(?<!\S\+)(?!\S)"),
        rule("unit_mark", "-/", r"-/(?<!\S-/)(?!\S)"),
        rule("unit_mark", "/", r"/(?<!\S/)(?!\S)"),
        rule("uncertain_words", "((", r"\(\("),
        rule("uncertain_words", "))", r"\)\)"),
        *marks("stray_mark", "*#<>"),
    ),
    closing=space_before(".?!,"),
)
