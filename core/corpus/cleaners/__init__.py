"""The cleaners by style and source: `STANDARD` and `UPSTREAM` have one entry for each source."""

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
"""The cleaners of the style `standard`, by the name of the file without its suffix, such as childes
for childes.train."""
UPSTREAM: dict[str, Cleaner] = {
    "bnc_spoken": upstream.BNC_SPOKEN,
    "childes": upstream.CHILDES,
    "gutenberg": upstream.GUTENBERG,
    "open_subtitles": upstream.OPEN_SUBTITLES,
    "simple_wiki": upstream.SIMPLE_WIKI,
    "switchboard": upstream.SWITCHBOARD,
    PLAIN: plain.CLEANER,
}
"""The cleaners of the style `upstream`, which clean the six sources of BabyLM as the research
scripts do (see `core.corpus.cleaners.upstream`). The scripts clean no other text, so `plain` cleans
any other text."""

NOT_WORDS = re.compile(r"[^\w\s\x00]|_")
LOWERCASE = Transform(str.lower)
STRIP_PUNCTUATION = Transform(partial(NOT_WORDS.sub, " "))


def cleaner_for(source: str, options: CleanOptions) -> Cleaner:
    """The cleaner of a source with the given options.

    Raises:
        CleanerMissing: If the style has no cleaner for the source.
    """
    table = {"standard": STANDARD, "upstream": UPSTREAM}.get(options.style)
    if table is not None and source not in table:
        raise CleanerMissing(
            f"data.clean is {options.style}, which has no cleaner for the source {source}; "
            f"it has cleaners for {', '.join(table)}"
        )
    chosen = plain.CLEANER if table is None else table[source]
    extra: tuple[Transform, ...] = ()
    if options.lowercase:
        extra += (LOWERCASE,)
    if options.punctuation == "strip":
        extra += (STRIP_PUNCTUATION,)
    return replace(chosen, steps=chosen.steps + extra)
