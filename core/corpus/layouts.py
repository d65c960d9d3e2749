r"""Joins units of several lines, such as the cue of a subtitle, into one line, before rules run.

A cleaning rule (`core.corpus.rules`) looks only at one line. A `join` function joins the lines of a
unit. A `cut` function ends a block only between units, so that the result does not depend on the
size of the blocks.
"""

import mmap
import re

from core.corpus.rules import Drops

CHAT_TIMING = re.compile(r"\x15[^\x15\n]*\x15|\u2022[^\u2022\n]*\d_\d+\u2022")
"""Media times of an utterance in CHAT, between bullets or NAK characters."""

_TIME = r"(?:\d{1,4}:)?\d{1,2}:\d\d[.,]\d{1,3}[ \t]*-->[^\n]*"
CUE = re.compile(
    rf"\n(?:[ \t]*\n)+(?!{_TIME})(?P<id>[^\n]*\S[^\n]*)\n(?={_TIME})"
    rf"|\n[ \t]*(?P<number>\d+)[ \t]*\n(?={_TIME})"
    rf"|\n(?:[ \t]*\n)+(?={_TIME})"
)
"""The lines before the times of a cue in SubRip and WebVTT: empty lines, a number or a name."""
VTT_HEADER = re.compile(r"\nWEBVTT(?:[ \t][^\n]*)?\n(?:[^\n]*\S[^\n]*\n)*")
VTT_BLOCK = re.compile(r"\n[ \t]*\n(?:NOTE|STYLE|REGION)(?:[ \t][^\n]*)?\n(?:[^\n]*\S[^\n]*\n)*")
"""Notes, styles and regions of WebVTT (https://www.w3.org/TR/webvtt1/, section 4.1)."""
ARROW = b"-->"
CUE_SEARCH_BYTES = 1 << 16
"""Number of bytes to search for a cue. If they contain no cue, the block may end at any line."""
BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
WRAPPED_LINE = re.compile(r"(?<=\S)[ \t]*\n(?=\S)")


def universal(text: str, drops: Drops) -> str:
    """The text with line feeds instead of Windows line ends, and without a byte-order mark."""
    if text.startswith("\ufeff"):
        text = text[1:]
        drops.add("control_character", 1, [])
    return text.replace("\r\n", "\n") if "\r" in text else text


def join_tiers(text: str, drops: Drops) -> str:
    """CHAT: a line that begins with a tab continues the line before; media times are dropped."""
    text = universal(text, drops).replace("\n\t", " ")
    if "\x15" not in text and "\u2022" not in text:
        return text
    text, count = CHAT_TIMING.subn(" ", text)
    if count:
        drops.add("time_mark", count, [])
    return text


def join_cues(text: str, drops: Drops) -> str:
    """Subtitles: drops cue numbers, and empty lines between cues. Cue 0 or 1 begins a document."""
    if "-->" not in text and "WEBVTT" not in text:
        return text
    text = f"\n{universal(text, drops)}"
    for name, pattern, put in (("vtt_header", VTT_HEADER, "\n\n"), ("vtt_block", VTT_BLOCK, "\n")):
        text, count = pattern.subn(put, text)
        if count:
            drops.add(name, count, [])
    names = [found["id"] or found["number"] for found in CUE.finditer(text)]
    named = [name.strip() for name in names if name]
    if named:
        drops.add("cue_number", len(named), named)
    return CUE.sub(_cue_break, text)[1:]


def _cue_break(found: re.Match[str]) -> str:
    name = found["id"] or found["number"]
    return "\n\n" if name and name.strip() in ("0", "1") else "\n"


def join_paragraphs(text: str, drops: Drops) -> str:
    """Joins each paragraph of a Project Gutenberg book to one line, except indented verse."""
    text = BLANK_LINES.sub("\n\f", universal(text, drops).strip("\n"))
    return WRAPPED_LINE.sub(" ", text).replace("\f", "")


def cut_tiers(text: mmap.mmap, begin: int) -> int:
    """The end of the first tier (a line with its continuation lines) that ends after `begin`."""
    end = text.find(b"\n", begin) + 1
    while end and text[end : end + 1] == b"\t":
        end = text.find(b"\n", end) + 1
    return end or len(text)


def cut_cues(text: mmap.mmap, begin: int) -> int:
    """The end of the first line with the times of a cue after byte `begin`.

    The number or name of a cue, which precedes the times, is then in the same block as the times.
    If no cue follows within `CUE_SEARCH_BYTES`, the result is the end of the line at `begin`.
    """
    line_end = text.find(b"\n", begin) + 1 or len(text)
    arrow = text.find(ARROW, begin, begin + CUE_SEARCH_BYTES)
    if arrow < 0:
        return line_end
    return text.find(b"\n", arrow) + 1 or len(text)


def cut_paragraphs(text: mmap.mmap, begin: int) -> int:
    """The end of the first empty line after byte `begin`."""
    found = EMPTY_LINE.search(text, begin)
    return found.end() if found else len(text)


EMPTY_LINE = re.compile(rb"\n[ \t]*\r?\n")
