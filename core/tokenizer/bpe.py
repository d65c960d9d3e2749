"""Trains a byte-level BPE and saves it so that `AutoTokenizer` loads it, old and new."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from core.errors import CorpusEmpty, Stopped
from core.spec import TokenizerSpec
from core.tokenizer.specials import END_OF_TEXT, PAD, SPECIAL_TOKENS, UNKNOWN

TOKENIZER_VERSION = 1
"""Raised whenever the same text and spec would give another tokenizer."""
FEED_BYTES = 8192
"""Text handed over at once, in whole lines. `tokenizers` takes 256 of these ahead: 2 MB. Feeding
single lines costs 30 % more time in crossing from Python; the result is the same, because a line
break is a piece of its own."""
COUNTING_SHARE = 0.5
"""Where progress stands when all text is read. Merging reports nothing while it runs, so progress
waits there; on 15 MB and 16,000 entries both take about as long."""
TOKENIZER_FILE, REPORT = "tokenizer.json", "report.json"
NO_MAX_LENGTH = int(1e30)
"""What transformers writes where a tokenizer knows no limit; export puts the model's there."""


class TokenizerReport(BaseModel):
    """What training a tokenizer gave; stands as `report.json` beside it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requested_vocab_size: int
    vocab_size: int
    """Less than requested where the text has no more pairs that are seen often enough."""
    merges: int
    bytes: int
    """Text read."""
    counting_seconds: float
    merging_seconds: float


def train_bpe(
    files: Sequence[Path],
    *,
    spec: TokenizerSpec,
    output: Path,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> TokenizerReport:
    """Trains on clean text files and saves tokenizer and report into the folder `output`.

    A stop is noticed while text is read; merging cannot be interrupted.

    Raises:
        CorpusEmpty: If the files hold no text.
        Stopped: If a stop was asked for.
    """
    total = sum(path.stat().st_size for path in files)
    if total == 0:
        raise CorpusEmpty("there is no text to train a tokenizer on")
    tokenizer = new_tokenizer()
    began = time.monotonic()
    feed = _Feed(files, total, progress, should_stop)
    tokenizer.train_from_iterator(iter(feed), trainer=new_trainer(spec))
    if should_stop():
        raise Stopped
    ended = time.monotonic()
    save_tokenizer(tokenizer, output)
    vocab_size = tokenizer.get_vocab_size()
    report = TokenizerReport(
        requested_vocab_size=spec.vocab_size,
        vocab_size=vocab_size,
        merges=vocab_size - len(SPECIAL_TOKENS) - len(ByteLevel.alphabet()),
        bytes=total,
        counting_seconds=feed.finished_at - began,
        merging_seconds=ended - feed.finished_at,
    )
    (output / REPORT).write_text(report.model_dump_json(indent=1), encoding="utf-8")
    progress(1.0)
    return report


def new_tokenizer() -> Tokenizer:
    """An untrained tokenizer: GPT-2's splitting into pieces, no normalisation, no added space."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = ByteLevelDecoder()
    return tokenizer


def new_trainer(spec: TokenizerSpec) -> BpeTrainer:
    """How the vocabulary is learned."""
    return BpeTrainer(
        vocab_size=spec.vocab_size,
        min_frequency=spec.min_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        # All 256 bytes, so that no text is unknown; sorted, so that ids do not hang on a hash.
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=False,
    )


class _Feed:
    """Text in pieces of a few whole lines, reporting how far it was read."""

    def __init__(
        self,
        files: Sequence[Path],
        total: int,
        progress: Callable[[float], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._files = files
        self._total = total
        self._progress = progress
        self._should_stop = should_stop
        self.finished_at = 0.0

    def __iter__(self) -> Iterator[str]:
        done = 0
        for path in self._files:
            with path.open("rb") as file:
                while lines := file.readlines(FEED_BYTES):
                    if self._should_stop():
                        raise Stopped
                    text = b"".join(lines)
                    done += len(text)
                    self._progress(COUNTING_SHARE * min(1.0, done / self._total))
                    # Two line breaks at the end would be one piece, and could become an entry.
                    yield text.rstrip(b"\n").decode()
        self.finished_at = time.monotonic()


def save_tokenizer(tokenizer: Tokenizer, output: Path) -> None:
    """Writes what `AutoTokenizer.from_pretrained(output)` needs, in transformers 4.51 and 5.

    The class is named in the configuration: left to itself, transformers 5 writes
    `TokenizersBackend`, which 4.51, pinned by the BabyLM evaluation of 2025, does not know.
    Decoding must not "clean up" spaces before punctuation, or it would not give the text back.
    """
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "bos_token": END_OF_TEXT,
        "clean_up_tokenization_spaces": False,
        "eos_token": END_OF_TEXT,
        "errors": "replace",
        "model_max_length": NO_MAX_LENGTH,
        "pad_token": PAD,
        "padding_side": "right",
        "tokenizer_class": "GPT2Tokenizer",
        "unk_token": UNKNOWN,
    }
    tokenizer.save(str(output / TOKENIZER_FILE))
    text = json.dumps(config, indent=1) + "\n"
    (output / "tokenizer_config.json").write_text(text, encoding="utf-8")
