"""The baseline of the cleaning benchmark: cleans line by line in one process.

Research scripts, such as those that this service replaces, work this way. Each corpus has a list of
regular expressions, and `re.sub` runs all of them on every line, without a cheaper search for lines
that cannot match. Most corpora have a dozen expressions. CHILDES has more than sixty, which follow
the sections of the CHAT manual (MacWhinney 2000). The output nearly equals the output of the
cleaning style `upstream`.
"""

import re
import unicodedata
from pathlib import Path

CHAT = [
    # headers, tiers, speakers
    (r"^@Situation:\t(.*)", r"[\1]"),
    (r"^@\w+.*", ""),
    (r"^%(?:act|exp|par|com|gpx|sit):\t(.*)", r"[\1]"),
    (r"^%\w+:.*", ""),
    # errors, replacements, local events
    (r"\[\*[^\]]*?\]", ""),
    (r"\[:+.*?\]", ""),
    (r"&=0[\w:]+", ""),
    (r"&=(\S+)", r"[\1]"),
    (r"\[(\S+)[:_](.*?)\]", r"[\1 \2]"),
    (r"\[(\S+)[:_](.*?)\]", r"[\1 \2]"),
    (r"\[(\S+)[:_](.*?)\]", r"[\1 \2]"),
    # special forms, fragments, fillers
    (r"@[\w:$*]+", ""),
    (r"&\+\w+", ""),
    (r"&-", ""),
    (r"&~", ""),
    (r"&\*\w+:\w+", ""),
    # incomplete and omitted words
    (r"\(\w+?\)", "'"),
    (r"\b0\w*", ""),
    (r"(\w)_", r"\1 "),
    # separators, tone, prosody
    (r"[\u2021\u201e]", ""),
    (r"[\u2191\u2193]", ""),
    (r"[\u02c8\u02cc\u2260](\w)", r"\1"),
    (r"(\w)[:^](?!\t)", r"\1"),
    (r"\[\^.*?\]", ""),
    (r"\(\d*\.+\d*\)", ""),
    (r"&\{.*&\}", ""),
    # terminators and linkers
    (r"\+\.\.\.", "..."),
    (r"\+\.\.\?", "...?"),
    (r"\+!\?", "!?"),
    (r"\+/\.", "..."),
    (r"\+/\?", "...?"),
    (r"\+//\.", "..."),
    (r"\+//\?", "...?"),
    (r"\+\.", ""),
    (r"\+\"/\.", ""),
    (r"\+\"\.", ""),
    (r"\+\"(.*?)$", r'"\1"'),
    (r"\+[\^,+]", ""),
    # scoped symbols
    (r"\[=!\s?(.*)\]", r"[\1]"),
    (r"\[!+\]", ""),
    (r"\[#.*?\]", ""),
    (r"\[=\s?(.*?)\]", r"[\1]"),
    (r"\[=\?.*?\]", ""),
    (r"\[%\s?(.*?)\]", r"[\1]"),
    (r"\[\?\]", ""),
    (r"\[[<>]\d?\]", ""),
    (r"\+<", ""),
    # retracing, and the text before it
    (r"(?:<.+?>|\S+) \[/\]", ""),
    (r"(?:<.+?>|\S+) \[//\]", ""),
    (r"\[/\]", ""),
    (r"\[//\]", ""),
    (r"(<.+?>|\S+) \[///\]", r"\1 ..."),
    (r"(<.+?>|\S+) \[/-\]", r"\1 ..."),
    (r"(?:<.+?>|\S+) \[/\?\]", ""),
    (r"(<.+?>|\S+) \[(?:e|\+ exc)\]", r"\1 ..."),
    (r"\[\^c.*?\]", ""),
    # codes before and after an utterance
    (r"(?: \[\+ \w+\])+\s*[\"\s]?$", ""),
    (r"\t(?:\[- \w+\] )+", "\t"),
    (r"[<>]", ""),
    # spaces, empty utterances, speakers
    (r"  +", " "),
    (r"\t +", "\t"),
    (r" +([.,?!])", r"\1"),
    (r"(\*\w+:\t)(?:xxx|yyy|www|0|\.)\s?[.?]? ?(\[.*\])\s?[.?]? ?$", r"\1\2"),
    (r"\*\w+:\t(?:xxx|yyy|www|0|\.)\s?[.?]? ?$", ""),
    (r"^\*\w+:\t", ""),
    # remains of markup
    (r"[^\w\s\[\].,?!'-]+", ""),
    (r"\[[^\[\]]*?\]", ""),
    (r"[\[\]]", ""),
]
BOOK_LINES = [
    r"(?:https?://|www\.)\S+",
    r"^(?:pg|page|p\.?)\s?\d{3,6}$",
    r"^(?:chapter\s+)?[ivxlc]+\s+.+\s+\d+$",
    r"^chapter\s+(?:\d+|[ivxlc]+|one|two|three|four|five|six|seven|eight|nine|ten)\b.*$",
]
BOOK = [
    (r"^.*?\*\*\* start of(.*?)\*\*\*", ""),
    (r"\*\*\* end of(.*?)$", ""),
    (r"\[illustration[^\]]*\]", ""),
    (r"^(?:copyright.*|_.*?_)\s*$", ""),
    (r"\bpage\s*\d+\b", ""),
]


def clean_file(path: Path, output: Path) -> None:
    """Cleans `<source>.train` or `.dev` line by line into `output`."""
    clean = CLEANERS.get(path.name.split(".")[0], plain)
    with path.open(encoding="utf-8") as source, output.open("w", encoding="utf-8") as target:
        for line in source:
            line = line.strip()
            if not line or line.startswith("= = ="):
                continue
            cleaned = clean(line)
            if cleaned:
                target.write(cleaned + "\n")


def childes(line: str) -> str:
    for pattern, put in CHAT:
        line = re.sub(pattern, put, line)
    return line.lower().strip()


def plain(line: str) -> str:
    line = unicodedata.normalize("NFKC", line.lower())
    line = re.sub(r"[^a-z0-9\s.,!?']", "", line)
    return re.sub(r"\s+", " ", line).strip()


def gutenberg(line: str) -> str:
    line = line.lower()
    if line.startswith("=") or any(re.search(pattern, line) for pattern in BOOK_LINES):
        return ""
    for pattern, put in BOOK:
        line = re.sub(pattern, put, line)
    return plain(line)


def switchboard(line: str) -> str:
    line = line.lower()
    if re.search(r"(?:https?://|www\.)\S+", line):
        return ""
    line = re.sub(r"^[a-z]:\s*", "", line)
    line = unicodedata.normalize("NFKC", line)
    line = re.sub(r"[^a-z0-9\s]", "", line)
    return re.sub(r"\s+", " ", line).strip()


def open_subtitles(line: str) -> str:
    line = plain(line)
    line = re.sub(r"http\S+|www\S+", "", line)
    return re.sub(r"(\S)\1{2,}", r"\1\1", line)


def bnc_spoken(line: str) -> str:
    line = re.sub(r"http\S+", "", line)
    line = re.sub(r"www\S+", "", line)
    line = re.sub(r"<[^>]+>", "", line)
    line = re.sub(r"[^\w\s.,!?'-]", "", line)
    return re.sub(r"\s+", " ", line).strip()


CLEANERS = {
    "bnc_spoken": bnc_spoken,
    "childes": childes,
    "gutenberg": gutenberg,
    "open_subtitles": open_subtitles,
    "simple_wiki": plain,
    "switchboard": switchboard,
}
