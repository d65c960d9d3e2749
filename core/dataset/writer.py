"""Writes the token file of a split; an interrupted encoding can be continued.

Shapes: N tokens, M documents.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from core.dataset.chunks import EncodedChunk, token_dtype
from core.dataset.tokens import DOCUMENTS, DTYPES, META, TOKENS, WORD_STARTS, TokenMeta
from core.errors import CorpusEmpty
from core.storage.rundir import publish_file

PROGRESS = "progress.json"
SAVE_BYTES = 128 << 20
"""Bytes of text between two saves of the progress. Two cores encode this amount of text in three
seconds. A save syncs the files to disk, which takes 0.1 s."""
DOCUMENT_DTYPE = np.dtype("<u8")


class Progress(BaseModel):
    """The saved progress, which says how much of each file is synced to disk."""

    model_config = ConfigDict(extra="forbid")

    text_bytes: int = 0
    """Number of bytes of the concatenated text files that have been encoded so far."""
    vocab_size: int = 1
    document_start: int = 0
    """Index of the first token of the current, unfinished document."""
    bits: str = ""
    """Word starts of the last tokens: fewer than 8 bits, which do not fill a byte yet."""
    sources: dict[str, Counter[str]] = {}
    """The fields of `SourceCounts` by file stem."""

    @property
    def totals(self) -> Counter[str]:
        """The counts of all sources."""
        return sum(self.sources.values(), Counter[str]())

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """Dtype of the token file."""
        return DTYPES[token_dtype(self.vocab_size)]

    def sizes(self) -> dict[str, int]:
        """Size of each file in bytes, by name."""
        totals = self.totals
        return {
            TOKENS: totals["tokens"] * self.dtype.itemsize,
            WORD_STARTS: totals["tokens"] // 8,
            DOCUMENTS: totals["documents"] * DOCUMENT_DTYPE.itemsize,
        }


class SplitWriter:
    """Appends chunks to the files of a split."""

    def __init__(self, folder: Path, progress: Progress, files: Mapping[str, BinaryIO]) -> None:
        self.progress = progress
        self._folder = folder
        self._files = files
        self._num_tokens = progress.totals["tokens"]
        self._saved_bytes = progress.text_bytes
        self._bits = np.array([bit == "1" for bit in progress.bits], np.bool_)

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator["SplitWriter"]:
        """A writer, which continues from saved progress if the folder has any."""
        progress = _read_progress(folder) or Progress()
        with ExitStack() as stack:
            files = {}
            for name, size in progress.sizes().items():
                files[name] = stack.enter_context((folder / name).open("ab"))
                files[name].truncate(size)
            yield cls(folder, progress, files)

    def add(self, source: str, text_bytes: int, chunk: EncodedChunk) -> None:
        """Appends the tokens of a chunk of text.

        Args:
            source: Stem of the text file.
            text_bytes: Number of bytes of the chunk in the text file.
            chunk: The encoded chunk.
        """
        encoded, progress = chunk.encoded, self.progress
        progress.text_bytes += text_bytes
        progress.vocab_size = chunk.vocab_size
        self._files[TOKENS].write(encoded.ids.astype(progress.dtype, copy=False).data)
        self._add_bits(encoded.starts)
        ends = encoded.document_ends + self._num_tokens  # (M,)
        starts = np.concatenate([[progress.document_start], ends]).astype(
            DOCUMENT_DTYPE
        )  # (M + 1,)
        self._files[DOCUMENTS].write(starts[:-1].data)
        progress.document_start = int(starts[-1])
        self._num_tokens += len(encoded.ids)
        progress.sources.setdefault(source, Counter()).update(
            tokens=len(encoded.ids),
            words=int(np.count_nonzero(encoded.starts)),
            documents=len(ends),
            bytes=chunk.num_bytes,
        )
        if progress.text_bytes - self._saved_bytes >= SAVE_BYTES:
            self._save()

    def finish(self) -> TokenMeta:
        """Writes `meta.json` as the last file.

        Raises:
            CorpusEmpty: If there is no text.
        """
        progress = self.progress
        totals = progress.totals
        if not totals["tokens"]:
            raise CorpusEmpty("there is no text to encode")
        self._files[WORD_STARTS].write(np.packbits(self._bits, bitorder="little").data)
        meta = TokenMeta.model_validate(
            {
                "dtype": token_dtype(progress.vocab_size),
                "vocab_size": progress.vocab_size,
                "num_tokens": totals["tokens"],
                "num_words": totals["words"],
                "num_documents": totals["documents"],
                "num_bytes": totals["bytes"],
                "sources": {name: dict(counts) for name, counts in progress.sources.items()},
            }
        )
        (self._folder / PROGRESS).unlink(missing_ok=True)
        (self._folder / META).write_text(meta.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return meta

    def _add_bits(self, starts: npt.NDArray[np.bool_]) -> None:
        bits = np.concatenate([self._bits, starts])
        whole = len(bits) // 8 * 8
        self._files[WORD_STARTS].write(np.packbits(bits[:whole], bitorder="little").data)
        self._bits = bits[whole:]

    def _save(self) -> None:
        for file in self._files.values():
            file.flush()
            os.fdatasync(file.fileno())
        self.progress.bits = "".join(str(int(bit)) for bit in self._bits)
        publish_file(self._folder / PROGRESS, self.progress.model_dump_json().encode())
        self._saved_bytes = self.progress.text_bytes


def _read_progress(folder: Path) -> Progress | None:
    """The saved progress; None if it is missing or the files are shorter than it records."""
    try:
        progress = Progress.model_validate_json((folder / PROGRESS).read_bytes())
        if all((folder / name).stat().st_size >= size for name, size in progress.sizes().items()):
            return progress
    except (FileNotFoundError, ValidationError):
        return None
    return None
