"""Learns a byte-level BPE from clean text, in a separate process that reports its progress.

    python -m core.tokenizer.learning OUTPUT VOCAB_SIZE MIN_FREQUENCY FILE...

The Rust code of `tokenizers` reports the progress of its merges as lines of JSON on standard error.
This program adds such lines for the text that it reads. The program is a separate process for three
reasons: the parent can read these lines, the parent can stop the process during the merges, and the
end of the process releases the memory. The process ends when its standard input is closed.
"""

import json
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from core.storage.model_files import TOKENIZER_FILE
from core.tokenizer.specials import SPECIAL_TOKENS

FEED_BYTES = 8192
"""Bytes of whole lines that are passed to `tokenizers` at once. `tokenizers` buffers 256 of these
pieces (2 MB). Passing single lines takes 30 % longer, and gives the same result because a line
break is never merged with text."""
READ, MERGE = "Read", "Compute merges"
"""The stages in the JSON lines: this program reports the first, `tokenizers` the second."""
REPORT_BYTES = 1 << 18
"""Bytes of text between two progress lines."""


def new_tokenizer() -> Tokenizer:
    """An untrained tokenizer: GPT-2's splitting into pieces, no normalisation, no added space."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = ByteLevelDecoder()
    return tokenizer


def new_trainer(vocab_size: int, min_frequency: int, *, reports: bool = False) -> BpeTrainer:
    """The trainer of the vocabulary; with `reports` it writes its progress to standard error."""
    return BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        # All 256 bytes, so that every text can be encoded; sorted, so that the ids are stable.
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=reports,
        progress_format="json" if reports else "indicatif",  # "json" ignores show_progress
    )


def read_text(files: Sequence[Path], feed_bytes: int = FEED_BYTES) -> Iterator[str]:
    """Yields the text in pieces of a few whole lines; reports progress on standard error."""
    total = sum(path.stat().st_size for path in files)
    done = reported = 0
    for path in files:
        with path.open("rb") as file:
            while lines := file.readlines(feed_bytes):
                text = b"".join(lines)
                # Two line breaks at the end would be one piece, and could become one token.
                yield text.rstrip(b"\n").decode()
                done += len(text)
                if done - reported >= REPORT_BYTES or done == total:
                    reported = done
                    line = json.dumps({"stage": READ, "current": done, "total": total})
                    sys.stderr.write(line + "\n")
                    sys.stderr.flush()


def main(arguments: list[str]) -> None:
    """Learns and saves the tokenizer that the command line describes."""
    output, vocab_size, min_frequency, *files = arguments
    threading.Thread(target=_end_with_parent, daemon=True).start()
    tokenizer = new_tokenizer()
    trainer = new_trainer(int(vocab_size), int(min_frequency), reports=True)
    tokenizer.train_from_iterator(read_text([Path(file) for file in files]), trainer=trainer)
    tokenizer.save(str(Path(output) / TOKENIZER_FILE))


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
