"""OpenSubtitles: a line of dialogue a line, with rests of what stood on the screen."""

from core.corpus.rules import DROPPED, Cleaner, marks, rule

CLEANER = Cleaner(
    version=3,
    steps=(
        rule("header", "\n= = = ", r"\n= = = [^\n]*(?=\n)", "\n"),
        rule("time_code", "-->", r"\n[\d:,. ]{0,20}\d:\d\d[^\n-]{0,20}-->[^\n]*", "\n" + DROPPED),
        rule("credit", "ubtitle", r"\n[^\n]*[Ss]ubtitles? (?:by|downloaded)[^\n]*", "\n" + DROPPED),
        rule("credit", "OpenSubtitles", r"\n[^\n]*OpenSubtitles[^\n]*", "\n" + DROPPED),
        rule("credit", "www.", r"\n[^\n]*www\.[^\n]*", "\n" + DROPPED),
        rule("tag", "<", r"</?[biu]>|</?font[^<>\n]{0,60}>", DROPPED),
        rule("tag", "<", r"</?[A-Za-z][^<>\n]{0,60}>"),
        rule("position_tag", "{", r"\{[^{}\n]*\}"),
        rule("caption", "[", r"\[[^\[\]\n]*\]"),
        rule("caption", "(", r"\([^()\n]*\)"),
        *marks("music_note", "\u2669\u266a\u266b\u266c\u266d\u266e\u266f"),
        rule(
            "dialogue_dash",
            "",
            r"\n(?=[\x00 ]*[-\u2013\u2014])[-\u2013\u2014\x00 ]+(?=[^-\u2013\u2014\x00\s])",
            "\n" + DROPPED,
        ),
        rule(
            "speaker_name",
            ":",
            r"\n[\x00 ]{0,3}[A-Z][A-Z0-9'.#]*(?: [A-Z0-9'.#]+){0,3}:(?= |\n)",
            "\n" + DROPPED,
        ),
    ),
)
