"""OpenSubtitles: one line of dialogue per line, with remains of captions and credits."""

from core.corpus.entities import UNESCAPE
from core.corpus.layouts import cut_cues, join_cues
from core.corpus.rules import DROPPED, Cleaner, marks, rule

MADE_BY = (
    r"[Ss]ync(?:ed|hroni[sz]ed)?|[Rr]esync(?:ed)?|[Ss]ubtitled|[Cc]aption(?:ed|ing|s)"
    r"|[Tt]ranscript(?:ion)?|[Tt]ranslat(?:ed|ion)|[Cc]orrect(?:ed|ions?)|[Ee]ncoded|[Ee]dited"
)

CLEANER = Cleaner(
    version=4,
    join=join_cues,
    cut=cut_cues,
    steps=(
        UNESCAPE,
        rule("header", "\n= = = ", r"\n= = = [^\n]*(?=\n)", "\n"),
        rule("time_code", "-->", r"\n[\d:,. ]{0,20}\d:\d\d[^\n-]{0,20}-->[^\n]*", "\n" + DROPPED),
        rule("credit", "ubtitle", r"\n[^\n]*[Ss]ubtitles? (?:by|downloaded)[^\n]*", "\n" + DROPPED),
        rule("credit", "ubtitles", r"\n[^\n]*[Oo]pen[Ss]ubtitles[^\n]*", "\n" + DROPPED),
        rule("credit", "ddic7ed", r"\n[^\n]*[Aa]ddic7ed[^\n]*", "\n" + DROPPED),
        rule("credit", "www.", r"\n[^\n]*www\.[^\n]*", "\n" + DROPPED),
        rule("credit", "://", r"\n[^\n]*https?://[^\n]*", "\n" + DROPPED),
        rule(
            "credit",
            " by",
            rf"\n[\x00 ~*#-]*(?:{MADE_BY})(?: (?:and|&) \w+)? by\b[^\n]*",
            "\n" + DROPPED,
        ),
        rule("time_code", "<", r"<\d[\d:.]*>", DROPPED),
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
