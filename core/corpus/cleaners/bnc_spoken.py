"""BNC spoken: one utterance per line, with gaps in the transcript."""

from core.corpus.entities import UNESCAPE
from core.corpus.rules import DROPPED, Cleaner, rule, space_before

CLEANER = Cleaner(
    version=3,
    steps=(
        UNESCAPE,
        rule("header", "\n= = = ", r"\n= = = [^\n]*(?=\n)", "\n"),
        rule(
            "speaker_label",
            ":",
            r"\n(?:PS[0-9A-Z]{3}|[A-Z]{2,3}\d[0-9A-Z]*|UNKNOWN|SPEAKER(?: \d+)?|[A-Z]):(?= |\n)",
            "\n" + DROPPED,
        ),
        rule("entity", "&", r"&[A-Za-z][A-Za-z0-9]{1,31};"),  # such as &bquo; of SGML
        rule("tag", "<", r"<[^<>\n]{1,80}>"),
        rule("event", "[", r"\[[^\[\]\n]*\]"),
    ),
    closing=space_before(".?!,;:"),
)
