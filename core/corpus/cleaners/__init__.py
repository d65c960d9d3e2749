"""The cleaner of each source in each style, and the options that apply to all."""

import re
from dataclasses import replace
from functools import partial

from core.corpus.cleaners import (
    bnc_spoken,
    childes,
    gutenberg,
    open_subtitles,
    plain,
    simple_wiki,
    switchboard,
    upstream,
)
from core.corpus.rules import Cleaner, Transform
from core.errors import CleanerMissing
from core.spec.corpus import CleanOptions

PLAIN = "plain"

STANDARD: dict[str, Cleaner] = {
    "bnc_spoken": bnc_spoken.CLEANER,
    "childes": childes.CLEANER,
    "gutenberg": gutenberg.CLEANER,
    "open_subtitles": open_subtitles.CLEANER,
    "simple_wiki": simple_wiki.CLEANER,
    "switchboard": switchboard.CLEANER,
    PLAIN: plain.CLEANER,
}
UPSTREAM: dict[str, Cleaner] = {
    "bnc_spoken": upstream.BNC_SPOKEN,
    "childes": upstream.CHILDES,
    "gutenberg": upstream.GUTENBERG,
    "open_subtitles": upstream.OPEN_SUBTITLES,
    "simple_wiki": upstream.SIMPLE_WIKI,
    "switchboard": upstream.SWITCHBOARD,
    PLAIN: plain.CLEANER,
}

NOT_WORDS = re.compile(r"[^\w\s\x00]|_")
LOWERCASE = Transform(str.lower)
STRIP_PUNCTUATION = Transform(partial(NOT_WORDS.sub, " "))


def cleaner_for(source: str, options: CleanOptions) -> Cleaner:
    """The cleaner of a source with the options of the spec.

    Raises:
        CleanerMissing: If the style has none for the source.
    """
    table = {"standard": STANDARD, "upstream": UPSTREAM}.get(options.style)
    chosen = plain.CLEANER if table is None else table.get(source)
    if chosen is None:
        known = ", ".join(table or ())
        raise CleanerMissing(
            f"style {options.style} of data.clean has no cleaner for the source {source}; it has "
            f"cleaners for {known}"
        )
    extra: tuple[Transform, ...] = ()
    if options.lowercase:
        extra += (LOWERCASE,)
    if options.punctuation == "strip":
        extra += (STRIP_PUNCTUATION,)
    return replace(chosen, steps=chosen.steps + extra)
