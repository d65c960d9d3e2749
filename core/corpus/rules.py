"""What a cleaner is made of: rules over blocks of whole lines.

Every rule looks at one line only, so a block may begin and end at any line: cleaning gives the
same bytes however a file is cut. Working on blocks instead of lines makes it fast: a pattern
that begins with a literal is found at the speed of a memory search, and lines without markup cost
nothing.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

DROPPED = "\x00"
"""Stands where something was taken out. A line with nothing else left is dropped, while a line that
was empty from the start is the end of a document. Control characters never come from the text."""
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f\u200b\u2060\ufeff]")
WORD = re.compile(r"[^\W_]")
EXAMPLES = 5
EXAMPLE_CHARACTERS = 80
MAX_PASSES = 8


@dataclass(frozen=True)
class Rule:
    """Takes something out of the text, or puts something in its place.

    Attributes:
        name: What is dropped, as the report calls it.
        needle: A string without which a block needs no look.
        pattern: Searched in a block that begins and ends with a line break.
        put: The replacement, as in re.sub.
    """

    name: str
    needle: str
    pattern: re.Pattern[str]
    put: str = DROPPED + " "


@dataclass(frozen=True)
class Transform:
    """Changes a block as a whole, as lower-casing does; counted nowhere."""

    function: Callable[[str], str]


@dataclass(frozen=True)
class Cleaner:
    """The steps for one source, in order."""

    version: int
    steps: tuple[Rule | Transform, ...] = ()
    needs_words: bool = True
    """Drop lines without a letter or digit."""


@dataclass
class Drops:
    """How often each rule took something out, with the first examples."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, count: int, examples: list[str]) -> None:
        """Counts what a rule dropped."""
        self.counts[name] = self.counts.get(name, 0) + count
        shown = self.examples.setdefault(name, [])
        shown += [text[:EXAMPLE_CHARACTERS] for text in examples[: EXAMPLES - len(shown)]]


def rule(name: str, needle: str, pattern: str, put: str = DROPPED + " ") -> Rule:
    """A rule from its pattern's text."""
    return Rule(name, needle, re.compile(pattern), put)


def clean_block(text: str, cleaner: Cleaner, drops: Drops) -> str:
    """Clean lines, each ended by a line break; an empty one ends a document.

    The cleaner is applied until it finds nothing more, so cleaning twice is cleaning once: what is
    taken out of the middle may bring together what is markup too.

    Args:
        text: Whole lines; Windows line ends and a last line without an end are fine.
        cleaner: The steps.
        drops: Where to count.
    """
    for _ in range(MAX_PASSES):
        cleaned = _one_pass(text, cleaner, drops)
        if cleaned == text:
            break
        text = cleaned
    return text


def _one_pass(text: str, cleaner: Cleaner, drops: Drops) -> str:
    text, count = CONTROL.subn("", text)
    if count:
        drops.add("control_character", count, [])
    lines = [" ".join(line.split()) for line in text.removesuffix("\n").split("\n")]
    block = "\n" + "\n".join(lines) + "\n"
    for step in cleaner.steps:
        if isinstance(step, Transform):
            block = step.function(block)
        elif step.needle in block:
            block = _apply(step, block, drops)
    return _join(block, cleaner, drops)


def _apply(step: Rule, block: str, drops: Drops) -> str:
    if len(drops.examples.get(step.name, ())) < EXAMPLES:
        found = step.pattern.finditer(block)
        examples = [match[0].strip() for match, _ in zip(found, range(EXAMPLES), strict=False)]
    else:
        examples = []
    block, count = step.pattern.subn(step.put, block)
    if count:
        drops.add(step.name, count, examples)
    return block


def _join(block: str, cleaner: Cleaner, drops: Drops) -> str:
    kept: list[str] = []
    wordless: list[str] = []
    for line in block[1:-1].split("\n"):
        clean = " ".join(line.replace(DROPPED, "").split()) if line else ""
        if clean and cleaner.needs_words and not WORD.search(clean):
            wordless.append(clean)
        elif clean or not line:
            kept.append(clean)
    if wordless:
        drops.add("line_without_words", len(wordless), wordless)
    return "".join(line + "\n" for line in kept)
