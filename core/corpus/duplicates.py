"""Duplicates in clean text: repeated units, and training text that is also validation text.

The compared units are the documents of a file, or its lines if the file is one document
(Switchboard, subtitles). A unit of fewer than 8 words never counts as a duplicate: "Yeah, I know."
occurs ten thousand times. A training line of at least 8 words that is also a line of the validation
text is a leak.

Near duplicates are found among documents by MinHash (Broder 1997, "On the resemblance and
containment of documents"). The sketch of a document has 64 hashes of its set of shingles, which are
all runs of five words. Two documents are near duplicates if at least 52 of their 64 hashes agree,
which means a Jaccard index of about 0.8. The hashes form 16 bands of 4. A document is compared only
with the earliest document that has the same 4 hashes in some band (Leskovec, Rajaraman, Ullman,
"Mining of Massive Datasets", section 3.4). For two documents with an index of 0.8, the probability
that no band is equal is (1 - 0.8^4)^16 = 0.0002.

Of equal units, the first in the order of the files is kept, so the result depends only on the text.

Shapes: U units, M documents with a sketch, S shingles, K hashes of a sketch.
"""

import os
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Literal
from zlib import crc32

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from core.errors import CorpusEmpty, Stopped

DUPLICATES_VERSION = 1
"""Increase it if a change of the code gives another result for the same text."""
MIN_WORDS = 8
SHINGLE_WORDS, HASHES, BANDS, NEAR_HASHES = 5, 64, 16, 52
READ_BYTES = 1 << 20
EXAMPLES, EXAMPLE_CHARACTERS = 5, 80

Mode = Literal["report", "exact", "near"]
UInt64s = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

WORD = re.compile(r"\w+")
_DRAWS = np.random.PCG64(20250713).random_raw(2 * HASHES)  # numpy never changes this stream, NEP 19
MULTIPLIERS: UInt64s = _DRAWS[:HASHES] | np.uint64(1)
ADDENDS: UInt64s = _DRAWS[HASHES:] | np.uint64(1)


class Found(BaseModel):
    """Number of findings, with the first of them as examples."""

    model_config = ConfigDict(extra="forbid")

    count: int = 0
    words: int = 0
    examples: list[str] = []

    def add(self, text: str) -> None:
        """Counts one finding."""
        self.count += 1
        self.words += len(text.split())
        if len(self.examples) < EXAMPLES:
            self.examples.append(text.split("\n")[0][:EXAMPLE_CHARACTERS])


class DuplicateReport(BaseModel):
    """Findings in the training text; `applied` says which of them were removed."""

    model_config = ConfigDict(extra="forbid")

    applied: Mode
    exact: Found = Found()
    """Units that equal an earlier unit or a unit of the validation text."""
    near: Found = Found()
    """Documents that nearly equal an earlier document or a document of the validation text."""
    leaked: Found = Found()
    """Lines that are also in the validation text."""


@dataclass
class _Index:
    """Digests and sketches of the units seen so far, in order."""

    digests: "array[int]" = field(default_factory=lambda: array("Q"))
    sketches: list[UInt64s] = field(default_factory=list)
    """One sketch (K,) for each document of at least MIN_WORDS words."""
    sketched: list[int] = field(default_factory=list)
    """Index of the unit to which each sketch belongs."""


def deduplicate(
    train: Sequence[Path],
    validation: Sequence[Path],
    *,
    mode: Mode,
    output: Path,
    should_stop: Callable[[], bool],
) -> DuplicateReport:
    """Writes the training files without the duplicates that `mode` removes, and returns a report.

    `report` removes nothing and writes no text. `exact` removes exact duplicates and leaked lines.
    `near` also removes near duplicates. The report always covers all three kinds.

    Raises:
        CorpusEmpty: If a file would have no text left.
        Stopped: After a stop request.
    """
    leaks = {line for path in validation for line in _lines(path) if _is_long(line)}
    index = _Index()
    for path in validation:
        _add(index, path, should_stop)
    known = len(index.digests)
    for path in train:
        _add(index, path, should_stop)
    exact, near = _repeated(np.frombuffer(index.digests, np.uint64), known), _near(index)
    report = DuplicateReport(applied=mode, exact=Found(), near=Found(), leaked=Found())
    flags = zip(exact[known:], near[known:], strict=True)
    for path in train:
        separator = "\n\n" if _has_documents(path) else "\n"
        left = (
            _judge(text, bool(is_exact), bool(is_near), leaks, report)
            for text, (is_exact, is_near) in zip(_units(path, separator), flags, strict=False)
        )
        _write(os.devnull if mode == "report" else output / path.name, left, separator, should_stop)
    (output / "duplicates.json").write_text(report.model_dump_json(), encoding="utf-8")
    return report


def _write(
    path: Path | str, texts: Iterator[str], separator: str, should_stop: Callable[[], bool]
) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as target:
        is_first = True
        for text in texts:
            if should_stop():
                raise Stopped
            if text:
                target.write(text if is_first else separator + text)
                is_first = False
        if is_first and path != os.devnull:
            raise CorpusEmpty(
                f"{path} would be empty: all its text is repeated or is validation text"
            )
        target.write("\n")


def _judge(
    text: str, is_exact: bool, is_near: bool, leaks: set[str], report: DuplicateReport
) -> str:
    """Counts the findings in a unit, and returns the part of it that `report.applied` keeps."""
    if is_exact:
        report.exact.add(text)
        return text if report.applied == "report" else ""
    if is_near:
        report.near.add(text)
        if report.applied == "near":
            return ""
    lines = text.split("\n")
    leaked = [line for line in lines if line in leaks]
    for line in leaked:
        report.leaked.add(line)
    if not leaked or report.applied == "report":
        return text
    return "\n".join(line for line in lines if line not in leaks)


def _add(index: _Index, path: Path, should_stop: Callable[[], bool]) -> None:
    has_documents = _has_documents(path)
    for text in _units(path, "\n\n" if has_documents else "\n"):
        if should_stop():
            raise Stopped
        # Short units get a unique number, so that they never count as duplicates.
        number = len(index.digests)
        index.digests.append(_digest(text) if _is_long(text) else number)
        if has_documents and _is_long(text):
            index.sketches.append(sketch(text))
            index.sketched.append(number)


def sketch(text: str) -> UInt64s:
    """(K,) uint64: for each of 64 hash functions, the smallest hash of all runs of five words.

    A word is identified by its CRC-32. The hash of a run is a polynomial of its words, spread by
    odd multipliers (multiply-shift, Dietzfelbinger et al. 1997).
    """
    words = np.array([crc32(word.encode()) for word in WORD.findall(text.lower())], np.uint64)
    if len(words) < SHINGLE_WORDS:
        known = words if len(words) else np.zeros(1, np.uint64)
        words = np.resize(known, SHINGLE_WORDS)
    runs = np.zeros(len(words) - SHINGLE_WORDS + 1, np.uint64)  # (S,)
    for place in range(SHINGLE_WORDS):
        runs = runs * MULTIPLIERS[0] + words[place : place + len(runs)]
    runs = np.unique(runs)
    smallest = [
        ((runs * odd + add) ^ (runs >> np.uint64(29)) * add).min()
        for odd, add in zip(MULTIPLIERS, ADDENDS, strict=True)
    ]
    return np.array(smallest, np.uint64)


def _repeated(digests: UInt64s, known: int) -> Bools:
    """(U,) whether a unit repeats an earlier unit; the first `known` units are validation text."""
    first = np.unique(digests, return_index=True)[1]
    repeated = np.ones(len(digests), np.bool_)
    repeated[first] = False
    repeated[:known] = False
    return repeated


def _near(index: _Index) -> Bools:
    """(U,) whether the unit is a document that nearly equals an earlier document."""
    near = np.zeros(len(index.digests), np.bool_)
    if not index.sketches:
        return near
    sketches = np.stack(index.sketches)  # (M, K)
    found = np.zeros(len(sketches), np.bool_)  # (M,)
    rows = HASHES // BANDS
    for band in range(BANDS):
        part = np.ascontiguousarray(sketches[:, band * rows : (band + 1) * rows])  # (M, 4)
        keys = part.view(np.dtype((np.void, part.itemsize * rows))).ravel()  # (M,)
        _, first, group = np.unique(keys, return_index=True, return_inverse=True)
        earliest = first[group]  # (M,) the first document with the same band
        later = np.flatnonzero(earliest != np.arange(len(sketches)))
        agree = (sketches[later] == sketches[earliest[later]]).sum(axis=1)
        found[later] |= agree >= NEAR_HASHES
    near[np.array(index.sketched)[found]] = True
    return near


def _is_long(text: str) -> bool:
    # In clean text, exactly one space or line break separates two words of a unit.
    return text.count(" ") + text.count("\n") >= MIN_WORDS - 1


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _has_documents(path: Path) -> bool:
    tail = b""
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            if b"\n\n" in tail + block:
                return True
            tail = block[-1:]
    return False


def _units(path: Path, separator: str) -> Iterator[str]:
    """The documents or the lines of a clean file; one document at a time is in memory."""
    lines: list[str] = []
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            text = line.removesuffix("\n")
            if separator == "\n":
                yield text
            elif text:
                lines.append(text)
            else:
                yield "\n".join(lines)
                lines = []
    if lines:
        yield "\n".join(lines)


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            yield line.removesuffix("\n")
