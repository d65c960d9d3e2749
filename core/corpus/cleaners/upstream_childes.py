r"""Turns CHAT codes of CHILDES (MacWhinney 2000, part 1) into plain words as upstream does.

Upstream means the BabyLM-NA2 research scripts (see `core.corpus.cleaners.upstream`).

Each substitution is applied once to a line, in the order of this file. The order matters, because
some substitutions undo others: `(\w)[:^]` removes the colon of the speaker code, and a later
substitution restores the colon before the code is removed. Each substitution has a needle: if the
line does not contain this string, the substitution is skipped.
"""

import re

Substitution = tuple[str, re.Pattern[str], str]


def _table(*rows: tuple[str, str, str]) -> tuple[Substitution, ...]:
    return tuple((needle, re.compile(pattern), put) for needle, pattern, put in rows)


_OPEN_BRACKET = ("[", r"\[(\S+)[:_](.*?)\]", r"[\1 \2]")
_WORD_OR_GROUP = r"(<.+?>|\S+)"

CODES = _table(
    ("\x15", r"\x15.*\x15", ""),
    ("%", r"%(act|exp|par|com|gpx|sit):\t(.*?)(\n|^)", r"[\2]\3"),
    ("@Situation", r"@Situation:\t(.*?)(\n|^)", r"[\1]\2"),
    # Errors, replacements, events. Up to five underscores or colons of a bracket become spaces.
    ("[*", r"\[\*[^\]]+?\]", ""),
    ("[:", r"\[:+.*?\]", ""),
    ("&=0", r"&=0[\w:]+", ""),
    ("&=", r"&=(\S+)", r"[\1]"),
    *[_OPEN_BRACKET] * 5,
    # Special forms, fragments, fillers, omitted and shortened words.
    ("@", r"@[\w:\$\*]+", ""),
    ("&+", r"&\+[\w]+", ""),
    ("&-", r"&\-", ""),
    ("&~", r"&\~", ""),
    ("(", r"\(\w+?\)", "'"),
    ("0", r"0\w*", ""),
    ("_", r"(\w)_", r"\1 "),
    # Satellites, tone, prosody, lengthening, pauses.
    ("", r"[\u2021\u201e\u2191\u2193]", ""),
    ("", r"[\u02c8\u02cc\u2260](\w)", r"\1"),
    ("", r"(\w)[:\^]", r"\1"),
    ("&*", r"&\*\w+:\w+", ""),
    ("[^", r"\[\^.*?\]", ""),
    ("(", r"\(\d*\.+\d*\)", ""),
    ("&{", r"&\{.*&\}", ""),
)
UTTERANCES = _table(
    # Terminators and linkers.
    ("+...", r"\+\.\.\.", "..."),
    ("+..?", r"\+\.\.\?", "...?"),
    ("+!?", r"\+!\?", "!?"),
    ("+/.", r"\+/\.", "..."),
    ("+/?", r"\+/\?", "...?"),
    ("+//.", r"\+//\.", "..."),
    ("+//?", r"\+//\?", "...?"),
    ("+.", r"\+\.", ""),
    ('+"/.', r"\+\"/\.", ""),
    ('+".', r"\+\"\.", ""),
    ('+"', r"\+\"(.*?)($|\n)", r'"\1"\2'),
    ("+", r"\+(\^|,|\+)", ""),
    # Scoped symbols.
    ("[=!", r"\[=!\s?(.*)\]", r"[\1]"),
    ("[!", r"\[!+\]", ""),
    ("[#", r"\[#.*\]", ""),
    ("[:", r"\[:.*\]", ""),
    ("[=", r"\[=\s?(.*?)\]", r"[\1]"),
    ("[=?", r"\[=\?.*?\]", ""),
    ("[%", r"\[%\s?(.*?)\]", r"[\1]"),
    ("[?]", r"\[\?\]", ""),
    ("[", r"\[[<>]\d?\]", ""),
    ("+<", r"\+<", ""),
    # Words that a speaker repeats or corrects: the first attempt is dropped or ends in "...".
    ("[/]", _WORD_OR_GROUP + r" \[/\]", ""),
    ("[//]", _WORD_OR_GROUP + r" \[//\]", ""),
    ("[/]", r"\[/\]", ""),
    ("[//]", r"\[//\]", ""),
    ("[///]", _WORD_OR_GROUP + r" \[///\]", r"\1 ..."),
    ("[/-]", _WORD_OR_GROUP + r" \[/-\]", r"\1 ..."),
    ("[/?]", _WORD_OR_GROUP + r" \[/\?\]", ""),
    ("[", _WORD_OR_GROUP + r" \[(e|\+ exc)\]", r"\1 ..."),
    ("[^c", r"\[\^c.*?\]", ""),
    ("[*]", r"\[\*\]", ""),
    ("[+", r"( \[\+ \w+\])+\s*[\"\s]?($|\n)", r"\2"),
    ("[-", r"\t(\[\- \w +\] )+", ""),
    ("", r"[<>]", ""),
)
SPEAKERS = _table(
    ("  ", r"  +", " "),
    ("\t ", r"\t +", "\t"),
    ("", r" +([\.,\?!])", r"\1"),
    ("", r"(^|\n)([\*%]\w+)", r"\1\2:"),
    (
        "*",
        r"(\*\w+:\t)(xxx|yyy|www|0|\.)\s?[\.\?]? ?(\[.*\])\s?[\.\?]? ?($|\n)",
        r"\1\3\4",
    ),
    ("*", r"\*\w+:\t(xxx|yyy|www|0|\.)\s?[\.\?]? ?($|\n)", ""),
    ("*", r"\*\w+:\t", ""),
)
REST = _table(
    ("", r"[^\w\s\[\]'\-]+", ""),
    ("[", r"\[[^\[\]]*?\]", ""),
    ("", r"[\[\]]", ""),
)


PLAIN_UTTERANCE = re.compile(
    r"\*[A-Za-z1-9]+:\t(?![ .]|xxx|yyy|www)([A-Za-z1-9 .,?!'-]*)\s*", re.ASCII
)
"""Matches lines in which all substitutions together remove only the speaker code and punctuation.
Nine of ten lines match and skip the substitutions."""
PUNCTUATION = str.maketrans("", "", ".,?!")


def clean_childes(line: str) -> str:
    """The words of a line after upstream's cleaning."""
    if (plain := PLAIN_UTTERANCE.fullmatch(line)) is not None:
        return plain[1].lower().translate(PUNCTUATION)
    if line.strip().startswith("%"):
        return ""
    line += "\n"
    for table in (CODES, UTTERANCES, SPEAKERS):
        line = _substitute(line, table)
    return _substitute(line.lower(), REST)


def _substitute(line: str, table: tuple[Substitution, ...]) -> str:
    for needle, pattern, put in table:
        if needle in line:
            line = pattern.sub(put, line)
    return line
