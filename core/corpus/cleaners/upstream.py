"""Cleaning as the research scripts do it (BabyLM-NA2/BabyLM2025, `preprocessing/`), line by line.

For each line, a cleaner gives the same words as upstream's script. There are three differences:
spaces are single, control characters are dropped, and the ends of documents (empty lines and
`= = =` headers), which the scripts lose, are kept.
"""

import re
import unicodedata

from core.corpus.cleaners.upstream_childes import clean_childes
from core.corpus.rules import Cleaner

WEB_ADDRESS = re.compile(r"(?:https?://|www\.)\S")
TITLE = re.compile(r"=+\s*.*?\s*=+")
NOT_WORDS = re.compile(r"[^a-z0-9\s]")
NOT_PLAIN = re.compile(r"[^a-z0-9\s.,!?']")
NOT_SPOKEN = re.compile(r"[^\w\s.,!?'\-]")
ADDRESS = re.compile(r"http\S+|www\S+")
ADDRESS_OR_TAG = re.compile(r"http\S+|www\S+|<[^>]+>")
REPEATED = re.compile(r"(.)\1{2,}")

BOOK_LINE = re.compile(
    r"(?:pg|page|p\.?)\s?\d{3,6}"
    r"|(?:chapter\s+)?[ivxlc]+\s+.+\s+\d+"
    r"|chapter\s+(?:\d+|[ivxlc]+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b.*"
    r"|[a-z\s]+\d[\d\s]*"
)
"""Lines with a page number, a chapter heading or an entry of a table of contents."""
BOOK_PARTS = (
    re.compile(r"^.*?\*\*\* START OF(.*?)\*\*\*", re.IGNORECASE),
    re.compile(r"\*\*\* END OF(.*?)$", re.IGNORECASE),
    re.compile(r"\[illustration[^\]]*\]", re.IGNORECASE),
    # Upstream meant this pattern for headings in capitals. But the pattern ignores case, so it also
    # matches any line of five or more letters, spaces, commas, full stops, ' and -.
    re.compile(r"^(?:[A-Z][A-Z\s,.'-]{4,}|copyright.*|_.*?_)\s*$", re.IGNORECASE | re.MULTILINE),
    re.compile(r"\bpage\s*\d+\b", re.IGNORECASE),
)


def clean_bnc_spoken(line: str) -> str:
    """The line without web addresses and tags; keeps case, hyphens and apostrophes."""
    return NOT_SPOKEN.sub("", ADDRESS_OR_TAG.sub("", line))


def clean_gutenberg(line: str) -> str:
    """The line in lower case, without illustration notes and page numbers.

    The result is empty for headers, headings, entries of a table of contents, lines with a web
    address, and most lines that have no digits and no punctuation except commas, full stops,
    apostrophes and hyphens.
    """
    line = line.strip().lower()
    if line.startswith("=") or WEB_ADDRESS.search(line) or BOOK_LINE.fullmatch(line):
        return ""
    for pattern in BOOK_PARTS:
        line = pattern.sub("", line)
    return _plain(line)


def clean_open_subtitles(line: str) -> str:
    """The line in lower case, with at most two equal characters in a row; drops web addresses."""
    return REPEATED.sub(r"\1\1", ADDRESS.sub("", _plain(line)))


def clean_simple_wiki(line: str) -> str:
    """The line in lower case; empty for titles and for lines with a web address."""
    line = line.strip().lower()
    return "" if TITLE.fullmatch(line) or WEB_ADDRESS.search(line) else _plain(line)


def clean_switchboard(line: str) -> str:
    """The letters, digits and spaces of the line, in lower case: `A: Okay.` becomes `a okay`.

    The result is empty for titles and for lines with a web address.
    """
    line = line.strip().lower()
    if TITLE.fullmatch(line) or WEB_ADDRESS.search(line):
        return ""
    return NOT_WORDS.sub("", _folded(line))


def _plain(line: str) -> str:
    return NOT_PLAIN.sub("", _folded(line))


def _folded(line: str) -> str:
    return unicodedata.normalize("NFKC", line.lower())


BNC_SPOKEN = Cleaner(version=3, line=clean_bnc_spoken, needs_words=False)
CHILDES = Cleaner(version=3, line=clean_childes, needs_words=False)
GUTENBERG = Cleaner(version=3, line=clean_gutenberg, needs_words=False)
OPEN_SUBTITLES = Cleaner(version=3, line=clean_open_subtitles, needs_words=False)
SIMPLE_WIKI = Cleaner(version=3, line=clean_simple_wiki, needs_words=False)
SWITCHBOARD = Cleaner(version=3, line=clean_switchboard, needs_words=False)
