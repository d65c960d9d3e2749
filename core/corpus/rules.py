r"""Cleaners and their rules, which work on blocks of whole lines.

Every rule matches within one line, so the result does not depend on where a file is cut into
blocks. Blocks are faster than single lines, because each step is one call into C for thousands of
lines. A rule has a needle, a string that all its matches contain: for a block without the needle,
the rule costs only one search for a string. If a pattern begins with a literal, the regex engine
tries it only where that literal occurs. So look-behinds come after the first character:
`\+(?<=\w\+)(?=\w)` equals `(?<=\w)\+(?=\w)` and is thirty times as fast.

Two alternatives were rejected: cleaning only the lines that contain markup (nearly all lines of a
transcript do), and engines without look-around (RE2, Rust's regex), for which half of these
patterns would have to be rewritten.
"""

import mmap
import re
from collections.abc import Callable
from dataclasses import dataclass, field

DROPPED = "\x00"
"""Marks a place where text was removed. A line that contains nothing else is dropped, but a line
that was already empty ends a document. The mark is unambiguous, because all control characters are
removed from the text first."""
CONTROL = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
"""Control characters, marks of writing direction and byte order, and the zero-width space."""
ODD_SPACE = re.compile(r"[^\S\n ]")
"""Characters that `str.split` treats as white space, except the line feed and the space."""
NOT_PLAIN = bytes([*range(9), *range(11, 32), 127])
"""ASCII characters that `CONTROL` or `ODD_SPACE` matches, except the tab (see `normal_block`)."""
LINE_OF_DROPS = re.compile(r"\n[\x00 ]+(?=\n)")
LINES_WITHOUT_WORDS = (
    ("\n", re.compile(r"\n[^\w\n](?:[^\w\n]|_)*(?=\n)")),
    ("\n_", re.compile(r"\n_(?:[^\w\n]|_)*(?=\n)")),
)
DOCUMENT_HEADER = ("= = = ", "\ufeff= = = ")
SPACES = re.compile(r" {3,}")
"""Runs of more than two spaces. They are shortened to two spaces to save time: the time of
upstream's patterns grows with the square of the length of a run. The result stays the same."""
EXAMPLES = 5
EXAMPLE_CHARACTERS = 80
MAX_PASSES = 32
"""Maximum number of passes over a block. Removing markup may join the parts of other markup, so
passes repeat until nothing changes. A line that needs more passes is dropped."""


@dataclass(frozen=True)
class Rule:
    """Removes or replaces all matches of a pattern.

    Attributes:
        name: Name in the report.
        needle: A string that every match contains; blocks without it are skipped.
        pattern: Searched in a block that begins and ends with a line break.
        put: The replacement, as in re.sub.
    """

    name: str
    needle: str
    pattern: re.Pattern[str]
    put: str = DROPPED + " "


@dataclass(frozen=True)
class Transform:
    """A change of a whole block, such as lower-casing. Its changes are not counted.

    The function is sent to other processes, so it must be picklable.
    """

    function: Callable[[str], str]


@dataclass(frozen=True)
class Cleaner:
    """The steps for one source, in order."""

    version: int
    steps: tuple[Rule | Transform, ...] = ()
    closing: tuple[Rule | Transform, ...] = ()
    """Steps that run after `steps`, once the gaps that `steps` left in the text are closed."""
    needs_words: bool = True
    """Whether to drop lines without a letter or digit."""
    line: Callable[[str], str] | None = None
    """A function that is applied once to each raw line, before the steps. An empty result drops the
    line."""
    join: "Callable[[str, Drops], str] | None" = None
    """A function that is applied first, to raw text. It joins each unit of several lines to one
    line."""
    cut: Callable[[mmap.mmap, int], int] | None = None
    """A function that gets a position in a file and returns the first position after it at which a
    block may end. None: a block may end after any line."""
    finds_books: bool = False
    """Whether to drop the headers and licences of Project Gutenberg files (`core.corpus.books`)."""


@dataclass
class Drops:
    """Number of matches of each rule, with the first matches as examples."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, count: int, examples: list[str]) -> None:
        """Counts matches of a rule."""
        self.counts[name] = self.counts.get(name, 0) + count
        shown = self.examples.setdefault(name, [])
        shown += examples[: EXAMPLES - len(shown)]


def rule(name: str, needle: str, pattern: str, put: str = DROPPED + " ") -> Rule:
    """A rule with a compiled pattern."""
    return Rule(name, needle, re.compile(pattern), put)


def marks(name: str, characters: str) -> tuple[Rule, ...]:
    """Rules that drop all occurrences of each of the characters."""
    return tuple(rule(name, character, re.escape(character)) for character in characters)


def space_before(marks: str) -> tuple[Rule, ...]:
    """Rules that close the gap before a punctuation mark in transcripts."""
    return (rule("space_before_mark", " ", rf" (?=[{re.escape(marks)}]\s)(?<=\w )", ""),)


def clean_block(text: str, cleaner: Cleaner, drops: Drops) -> str:
    """The cleaned lines, each with a line break at its end. An empty line ends a document.

    The steps are applied until they change nothing, so cleaning the result again changes nothing.

    Args:
        text: Whole lines. Windows line ends, and a last line without a line end, are accepted.
        cleaner: The steps.
        drops: Counts the removals.
    """
    return clean_normal(raw_block(text, None, cleaner, drops), cleaner, drops)[1:]


def raw_block(text: str, normal: str | None, cleaner: Cleaner, drops: Drops) -> str:
    """The normal block (see `normal_block`) of raw lines after the cleaner's `join` and `line`.

    Args:
        text: Raw lines.
        normal: The normal block of these lines, if it is known.
        cleaner: The steps.
        drops: Counts the removals.
    """
    joined = text if cleaner.join is None else cleaner.join(text, drops)
    if cleaner.line is not None:
        joined = _line_by_line(joined, cleaner.line, drops)
    if normal is None or joined is not text:
        normal = normal_block(joined)
    return without_controls(normal, drops)


def _line_by_line(text: str, clean: Callable[[str], str], drops: Drops) -> str:
    """Cleans each line once. Headers of documents and empty lines end a document."""
    lines = []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n"):
        if line.startswith(DOCUMENT_HEADER) or not line.strip():
            lines.append("")
        if not line.strip():
            continue
        cleaned = clean(SPACES.sub("  ", line)).strip()
        if cleaned:
            lines.append(cleaned)
        else:
            drops.add("line_without_text", 1, [line.strip()[:EXAMPLE_CHARACTERS]])
    return "\n".join([*lines, ""])


def normal_block(text: str) -> str:
    """The normal block of a text: single spaces, and a line break at the beginning and the end."""
    text = text.replace("\t", " ")
    if not _is_plain(text):
        text = ODD_SPACE.sub(" ", text)
    end = "" if text.endswith("\n") else "\n"
    return _single_spaces(f"\n{text}{end}")


def count_words(block: str) -> int:
    """Number of white-space words of a normal block: its spaces plus its non-empty lines."""
    return block.count(" ") + count_lines(block)


def count_lines(block: str) -> int:
    """Number of lines of a normal block that are not empty."""
    while "\n\n" in block:
        block = block.replace("\n\n", "\n")
    return block.count("\n") - 1


def without_controls(block: str, drops: Drops) -> str:
    """A normal block without control characters."""
    if _is_plain(block):
        return block
    block, count = CONTROL.subn("", block)
    if not count:
        return block
    drops.add("control_character", count, [])
    return _single_spaces(block)


def _is_plain(text: str) -> bool:
    """Whether a text is ASCII without `NOT_PLAIN`. A search with `re` takes ten times as long."""
    if not text.isascii():
        return False
    raw = text.encode()
    return len(raw.translate(None, NOT_PLAIN)) == len(raw)


def clean_normal(block: str, cleaner: Cleaner, drops: Drops) -> str:
    """Applies the steps to a normal block until nothing changes; returns a normal block."""
    for _ in range(MAX_PASSES):
        cleaned = _one_pass(block, cleaner, drops)
        if cleaned == block:
            return block
        block = cleaned
    return _without_endless_lines(block, cleaner, drops)


def _one_pass(block: str, cleaner: Cleaner, drops: Drops) -> str:
    for steps in (cleaner.steps, cleaner.closing):
        before = block
        for step in steps:
            if isinstance(step, Transform):
                block = step.function(block)
            elif step.needle in block:
                block = _apply(step.name, step.pattern, step.put, block, drops)
        if block != before:
            block = _settle(block)
    if cleaner.needs_words:
        for needle, pattern in LINES_WITHOUT_WORDS:
            if needle in block:
                block = _apply("line_without_words", pattern, "", block, drops)
    return block


def _settle(block: str) -> str:
    """Closes gaps, and drops lines from which all text was removed."""
    if DROPPED in block or "\n " in block:
        block = LINE_OF_DROPS.sub("", block).replace(DROPPED, "")
    return _single_spaces(block)


def _without_endless_lines(block: str, cleaner: Cleaner, drops: Drops) -> str:
    lines = block[1:-1].split("\n")
    endless = [
        line for line in lines if _one_pass(f"\n{line}\n", cleaner, Drops()) != f"\n{line}\n"
    ]
    drops.add("endless_markup", len(endless), [line[:EXAMPLE_CHARACTERS] for line in endless])
    doomed = set(endless)
    return "\n".join(["", *(line for line in lines if line not in doomed), ""])


def _single_spaces(block: str) -> str:
    while "  " in block:
        block = block.replace("  ", " ")
    return block.replace("\n ", "\n").replace(" \n", "\n")


def _apply(name: str, pattern: re.Pattern[str], put: str, block: str, drops: Drops) -> str:
    cleaned, count = pattern.subn(put, block)
    if count:
        wanted = min(count, EXAMPLES - len(drops.examples.get(name, ())))
        found = pattern.finditer(block)
        drops.add(name, count, [_example(block, next(found)) for _ in range(wanted)])
    return cleaned


def _example(block: str, match: re.Match[str]) -> str:
    """The match, with the text around it if it has no letter or digit."""
    text = match[0].strip()
    if not any(character.isalnum() for character in text):
        begin = max(block.rfind("\n", 0, match.end()) + 1, match.start() - EXAMPLE_CHARACTERS // 2)
        text = block[begin : match.end() + EXAMPLE_CHARACTERS // 2].split("\n")[0]
    return " ".join(text.replace(DROPPED, "").split())[:EXAMPLE_CHARACTERS]
