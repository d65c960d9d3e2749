"""Trains a byte-level BPE tokenizer, and saves it for `AutoTokenizer` of transformers 4 and 5."""

import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tokenizers.pre_tokenizers import ByteLevel

from core.errors import CorpusEmpty, RunError, Stopped, TokenizerInvalid
from core.process.program import python_command
from core.spec.job import TokenizerSpec
from core.storage.model_files import TOKENIZER_FILE
from core.tokenizer.config import save_config
from core.tokenizer.existing import ExistingTokenizer
from core.tokenizer.learning import MERGE, READ
from core.tokenizer.loading import load_tokenizer
from core.tokenizer.report import REPORT, TokenizerReport
from core.tokenizer.specials import SPECIAL_TOKENS
from core.tokenizer.units import UnitEncoder

TOKENIZER_VERSION = 1
"""Increase it if a change of the code gives another tokenizer for the same text and spec."""
COUNTING_SHARE = 0.5
"""Progress at the time when all text is read. With 15 MB of text and a vocabulary of 16,000
entries, reading and merging take about the same time."""
POLL_SECONDS = 0.1
SHOWN_CHARACTERS = 2000


def train_bpe(
    files: Sequence[Path],
    *,
    spec: TokenizerSpec,
    output: Path,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> TokenizerReport:
    """Trains on clean text files and saves tokenizer and report into the folder `output`.

    The first half of the progress is reading the text, the second half is computing the merges.

    Raises:
        CorpusEmpty: If the files contain no text.
        RunError: If the training process died.
        Stopped: After a stop request.
    """
    total = sum(path.stat().st_size for path in files)
    if total == 0:
        raise CorpusEmpty("there is no text to train a tokenizer on")
    began = counted = time.monotonic()
    for stage, share in _learn(files, spec, output, should_stop):
        if stage == READ:
            counted = time.monotonic()
        progress(COUNTING_SHARE * share if stage == READ else _merging(share))
    ended = time.monotonic()
    save_config(output)
    vocab_size = load_tokenizer(output).get_vocab_size()
    report = TokenizerReport(
        requested_vocab_size=spec.vocab_size,
        vocab_size=vocab_size,
        merges=vocab_size - len(SPECIAL_TOKENS) - len(ByteLevel.alphabet()),
        bytes=total,
        counting_seconds=counted - began,
        merging_seconds=ended - counted,
    )
    (output / REPORT).write_text(report.model_dump_json(indent=1), encoding="utf-8")
    progress(1.0)
    return report


def save_existing(existing: ExistingTokenizer, output: Path) -> None:
    """Saves a tokenizer that was trained elsewhere, with its report, into the folder `output`.

    Raises:
        TokenizerInvalid: If `tokenizers` cannot load it, or `UnitEncoder` rejects it: words can
            only be counted with byte-level BPE and GPT-2's splitting.
    """
    (output / TOKENIZER_FILE).write_text(existing.content, encoding="utf-8")
    try:
        UnitEncoder(load_tokenizer(output))
    except Exception as error:  # `tokenizers` raises plain exceptions
        raise TokenizerInvalid(f"the tokenizer cannot be loaded: {error}") from error
    save_config(output)
    report = TokenizerReport(
        requested_vocab_size=existing.vocab_size,
        vocab_size=existing.vocab_size,
        merges=existing.merges,
        bytes=0,
        counting_seconds=0.0,
        merging_seconds=0.0,
    )
    (output / REPORT).write_text(report.model_dump_json(indent=1), encoding="utf-8")


def _merging(share: float) -> float:
    return COUNTING_SHARE + (1.0 - COUNTING_SHARE) * share


def _learn(
    files: Sequence[Path], spec: TokenizerSpec, output: Path, should_stop: Callable[[], bool]
) -> Iterator[tuple[str, float]]:
    """Runs the training process; yields its stage, and the share of the stage that is done."""
    command = python_command("core.tokenizer.learning", str(output))
    command += [str(spec.vocab_size), str(spec.min_frequency), *map(str, files)]
    with _started(command) as process:
        assert process.stderr is not None
        file, rest, other = process.stderr.fileno(), b"", b""
        while True:
            if should_stop():
                raise Stopped
            if not select.select([file], [], [], POLL_SECONDS)[0]:
                continue
            data = os.read(file, 1 << 16)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            reported = [line for line in lines if line.startswith(b'{"stage"')]
            other += b"".join(line + b"\n" for line in lines if line not in reported)
            for line in reported[
                -1:
            ]:  # the process writes tens of thousands of lines; the newest is enough
                state = json.loads(line)
                if state["stage"] in (READ, MERGE) and state["total"]:
                    yield state["stage"], min(1.0, state["current"] / state["total"])
        if process.wait() != 0:
            text = other.decode(errors="replace")[-SHOWN_CHARACTERS:].strip()
            raise RunError(
                f"the process that trains the tokenizer ended with status {process.returncode}"
                + (f": {text}" if text else ""),
                hint="The machine may have run out of memory; see the log of the job.",
            )


@contextmanager
def _started(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is killed at the end of the block."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # the pipe closes when this process ends, and then the child ends
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
