"""Splits words that are too long for a tokenizer.

The time to train a tokenizer grows with the square of the length of a word. A word of 300,000
characters, such as base64 or text without spaces, would take two minutes.
"""

import re

from core.corpus.rules import EXAMPLE_CHARACTERS, EXAMPLES, Drops

MAX_WORD_CHARACTERS = 1000
LONG_WORD = re.compile(rf"(?<!\S)\S{{{MAX_WORD_CHARACTERS + 1},}}")
DROP_NAME = "long_word"


def split_long_words(text: str, drops: Drops, *, first_line: int = 1) -> str:
    """The text with a space after every 1,000 characters of a word.

    Args:
        text: Raw lines.
        drops: Receives the number of split words, and examples with their line numbers.
        first_line: Number of the first of these lines in its file.
    """
    if not _may_have(text):
        return text
    found = list(LONG_WORD.finditer(text))
    if not found:
        return text
    examples = []
    for match in found[:EXAMPLES]:
        line = first_line + text.count("\n", 0, match.start())
        examples.append(f"line {line:,}: {match[0]}"[:EXAMPLE_CHARACTERS])
    drops.add(DROP_NAME, len(found), examples)
    return LONG_WORD.sub(_split_word, text)


def has_long_words(text: str) -> bool:
    """Whether `split_long_words` would split a word of the text."""
    return _may_have(text) and LONG_WORD.search(text) is not None


def _may_have(text: str) -> bool:
    # A word of 1,000 characters covers a whole stride of 500, so one search per stride is enough.
    stride = MAX_WORD_CHARACTERS // 2
    return any(
        text.find(" ", begin, begin + stride) < 0 and text.find("\n", begin, begin + stride) < 0
        for begin in range(0, len(text), stride)
    )


def _split_word(found: re.Match[str]) -> str:
    word = found[0]
    pieces = range(0, len(word), MAX_WORD_CHARACTERS)
    return " ".join(word[begin : begin + MAX_WORD_CHARACTERS] for begin in pieces)
