"""Clean text files to the token file of a split, on several processes.

Letters: N tokens, M documents.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from core.dataset.chunks import (
    ChunkEncoder,
    EncodedChunk,
    split_file,
    token_dtype,
)
from core.dataset.tokens import (
    DOCUMENTS,
    DTYPES,
    META,
    TOKENS,
    WORD_STARTS,
    SourceCounts,
    TokenMeta,
)
from core.errors import CorpusEmpty, Stopped
from core.pool import serve_in_order

ENCODE_VERSION = 1
"""Raised whenever the same text and tokenizer would give another token file."""
MAX_PROCESSES = 4
"""More would take over 1 GB in all, and four already encode 100 MB in about a second."""
BYTES_PER_PROCESS = 6 << 20
"""Less text than this is not worth another process: it takes 0.3 s of work to start one."""


@dataclass(frozen=True)
class SplitReport:
    """What encoding a split gave."""

    meta: TokenMeta
    seconds: float
    processes: int


def encode_split(
    files: Sequence[Path],
    *,
    tokenizer: Path,
    output: Path,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
    processes: int | None = None,
) -> SplitReport:
    """Encodes clean text files into a token file in the folder `output`.

    The result is the same, byte for byte, whatever the number of processes.

    Args:
        files: One for each source, in the order in which they are to stand.
        tokenizer: Folder of the tokenizer.
        output: An existing folder.
        progress: Told the share of the text that is written.
        should_stop: Asked several times a second.
        processes: None takes as many as the text is worth.

    Raises:
        CorpusEmpty: If there is no text.
        CorpusEncoding: If a file is not UTF-8.
        Stopped: If a stop was asked for.
        TokenOutOfVocabulary: If the tokenizer gives an id that is not below its size.
    """
    began = time.monotonic()
    total = sum(path.stat().st_size for path in files)
    if processes is None:
        cores = len(os.sched_getaffinity(0))
        processes = max(1, min(cores, MAX_PROCESSES, total // BYTES_PER_PROCESS))
    chunks = [chunk for path in files for chunk in split_file(path)]
    done = 0
    with ExitStack() as stack:
        writer = stack.enter_context(_Writer(output))
        results = serve_in_order(
            chunks, make=ChunkEncoder, argument=tokenizer, count=processes, should_stop=should_stop
        )
        for chunk, result in zip(chunks, results, strict=True):
            if should_stop():
                raise Stopped
            writer.add(chunk.path.stem, result)
            done += chunk.end - chunk.begin
            progress(done / total)
    return SplitReport(writer.finish(), time.monotonic() - began, processes)


class _Writer:
    """Writes the files of a split as chunks come in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._vocab_size = 0
        self._sources: dict[str, Counter[str]] = {}
        self._num_tokens = 0
        self._document_start = 0
        self._bits = np.zeros(0, np.bool_)  # fewer than 8 that wait for their byte to be full

    def __enter__(self) -> "_Writer":
        self._stack = ExitStack()
        self._tokens, self._starts, self._documents = (
            self._stack.enter_context((self._folder / name).open("wb"))
            for name in (TOKENS, WORD_STARTS, DOCUMENTS)
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._starts.write(np.packbits(self._bits, bitorder="little").tobytes())
        self._stack.close()

    def add(self, source: str, result: EncodedChunk) -> None:
        """Appends a chunk."""
        encoded = result.encoded
        self._vocab_size = result.vocab_size
        dtype = DTYPES[token_dtype(self._vocab_size)]
        self._tokens.write(encoded.ids.astype(dtype, copy=False).data)
        self._add_bits(encoded.starts)
        ends = encoded.document_ends + self._num_tokens  # (M,)
        starts = np.concatenate([[self._document_start], ends]).astype("<u8")  # (M + 1,)
        self._documents.write(starts[:-1].tobytes())
        self._document_start = int(starts[-1])
        self._num_tokens += len(encoded.ids)
        self._sources.setdefault(source, Counter()).update(
            tokens=len(encoded.ids),
            words=int(np.count_nonzero(encoded.starts)),
            documents=len(ends),
            bytes=result.num_bytes,
        )

    def _add_bits(self, starts: npt.NDArray[np.bool_]) -> None:
        bits = np.concatenate([self._bits, starts])
        whole = len(bits) // 8 * 8
        self._starts.write(np.packbits(bits[:whole], bitorder="little").tobytes())
        self._bits = bits[whole:]

    def finish(self) -> TokenMeta:
        """Writes the description, last of all."""
        if self._num_tokens == 0:
            raise CorpusEmpty("there is no text to encode")
        totals = sum(self._sources.values(), Counter[str]())
        meta = TokenMeta.model_validate(
            {
                "dtype": token_dtype(self._vocab_size),
                "vocab_size": self._vocab_size,
                "num_tokens": totals["tokens"],
                "num_words": totals["words"],
                "num_documents": totals["documents"],
                "num_bytes": totals["bytes"],
                "sources": {name: SourceCounts(**count) for name, count in self._sources.items()},
            }
        )
        (self._folder / META).write_text(meta.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return meta
