"""Resolves the character references of HTML that occur in subtitles, wiki dumps and the BNC."""

import html
import re

from core.corpus.rules import CONTROL, ODD_SPACE, Transform

REFERENCE = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")


def unescape(block: str) -> str:
    """Replaces each reference by its character; a reference with an unknown name does not change.

    References that were escaped twice, such as `&amp;lt;`, are resolved completely.
    """
    before = ""
    while "&" in block and block != before:
        before, block = block, REFERENCE.sub(_character, block)
    return block


def _character(reference: re.Match[str]) -> str:
    text = html.unescape(reference[0])
    # A reference must not insert a line break or a control character: rules use \x00 as a mark.
    return CONTROL.sub("", ODD_SPACE.sub(" ", text.replace("\n", " ")))


UNESCAPE = Transform(unescape)
