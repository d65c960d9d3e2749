"""Measures the stages from raw text to tokens, and plain scripts that do the same work.

BABYLM_BENCH_DATA names a folder with BabyLM's `train_10M` (and optionally `dev`). If the variable
is not set, the benchmark uses the sample corpus, which gives less meaningful figures. The text is
repeated to reach the length that a figure needs. The benchmark also counts the words of each
document in the text, and prints the number of documents for which the token file gives a
different count.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
from tokenizers import Tokenizer

from benchmarks.cleaning_reference import clean_file
from benchmarks.report import figure, note, wanted
from core.corpus.sources import find_source_files
from core.corpus.stage import clean_corpus
from core.dataset.encode import encode_split
from core.dataset.tokens import TokenFile
from core.process.program import python_command
from core.sample import write_sample
from core.spec.corpus import CleanOptions
from core.spec.job import TokenizerSpec
from core.tokenizer.bpe import train_bpe
from core.tokenizer.learning import new_tokenizer, new_trainer
from core.tokenizer.loading import load_tokenizer

NAMES = ("corpus/clean", "corpus/encode", "corpus/tokenizer", "corpus/pipeline")
DATA = "BABYLM_BENCH_DATA"
LONG_BYTES = 100_000_000
VOCAB_SIZE = 16_000
ROUNDS = 3


@dataclass(frozen=True)
class Corpus:
    """Raw text, the same text repeated to `LONG_BYTES`, and the clean text of `raw`."""

    raw: Path
    long: Path
    clean: Path


def run(only: str | None) -> None:
    names = wanted(NAMES, only)
    with tempfile.TemporaryDirectory(prefix="babylm-bench-") as folder:
        corpus = prepare(Path(folder))
        tokenizer = Path(folder) / "tokenizer"
        tokenizer.mkdir()
        if "corpus/clean" in names:
            bench_clean(corpus, Path(folder))
        if "corpus/tokenizer" in names:
            bench_tokenizer(corpus, tokenizer)
        if "corpus/encode" in names:
            bench_encode(corpus, tokenizer, Path(folder))
        if "corpus/pipeline" in names:
            bench_pipeline(corpus, Path(folder))


def prepare(folder: Path) -> Corpus:
    raw = raw_text(folder)
    files = sorted(path for path in raw.iterdir() if path.is_file())
    times = -(-LONG_BYTES // sum(path.stat().st_size for path in files))
    long = folder / "long" / "train_long"
    long.mkdir(parents=True)
    for path in files:
        content = path.read_bytes()
        with (long / path.name).open("wb") as target:
            for _ in range(times):
                target.write(content)
    clean = folder / "clean"
    clean_folder(raw, clean)
    return Corpus(raw, long, clean)


def raw_text(folder: Path) -> Path:
    """The raw training text; if `DATA` is not set, the sample corpus, written to `folder`."""
    named = os.environ.get(DATA)
    if named is not None:
        return Path(named) / "train_10M"
    note("corpus", f"{DATA} is not set: this is the sample corpus, not real text")
    return write_sample(folder / "data", target_bytes=15_000_000).train


# corpus/clean


def bench_clean(corpus: Corpus, folder: Path) -> None:
    size, long_size = folder_bytes(corpus.raw), folder_bytes(corpus.long)
    reference = seconds_of(lambda: reference_clean(corpus.raw, folder / "reference"))
    figure("corpus/clean", "reference_bytes_per_second", size / reference, "byte/s")
    short = best_of(ROUNDS, lambda: clean_folder(corpus.raw, folder / "cleaned"))
    compare("corpus/clean", "bytes_per_second", size, short, "line_by_line", reference, size)
    one, two = alternate(
        ROUNDS,
        lambda: clean_folder(corpus.long, folder / "cleaned", 1),
        lambda: clean_folder(corpus.long, folder / "cleaned", 2),
    )
    compare(
        "corpus/clean",
        "long_bytes_per_second",
        long_size,
        two,
        "line_by_line",
        reference,
        size,
    )
    compare(
        "corpus/clean",
        "two_processes_bytes_per_second",
        long_size,
        two,
        "one_process",
        one,
        long_size,
    )


def reference_clean(raw: Path, output: Path) -> None:
    """Cleans every file of `raw` into a file of the same name in the folder `output`."""
    output.mkdir()
    for path in sorted(raw.iterdir()):
        clean_file(path, output / path.name)


def clean_folder(raw: Path, output: Path, processes: int | None = None) -> None:
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    clean_corpus(
        find_source_files(raw),
        options=CleanOptions(),
        output=output,
        progress=ignore,
        should_stop=never,
        processes=processes,
    )


# corpus/tokenizer


def bench_tokenizer(corpus: Corpus, output: Path) -> None:
    files = sorted(corpus.clean.glob("*.txt"))
    size = folder_bytes(corpus.clean)
    spec = TokenizerSpec(vocab_size=VOCAB_SIZE)

    def direct() -> None:
        new_tokenizer().train(
            [str(path) for path in files], new_trainer(VOCAB_SIZE, spec.min_frequency)
        )

    def ours() -> None:
        train_bpe(files, spec=spec, output=output, progress=ignore, should_stop=never)

    theirs, own = alternate(ROUNDS, direct, ours)
    compare("corpus/tokenizer", "bytes_per_second", size, own, "tokenizers_train", theirs, size)


# corpus/encode


def bench_encode(corpus: Corpus, tokenizer: Path, folder: Path) -> None:
    files = sorted(corpus.clean.glob("*.txt"))
    size = folder_bytes(corpus.clean)
    if not (tokenizer / "tokenizer.json").exists():
        spec = TokenizerSpec(vocab_size=VOCAB_SIZE)
        train_bpe(files, spec=spec, output=tokenizer, progress=ignore, should_stop=never)
    long = folder / "clean_long"
    clean_folder(corpus.long, long)
    long_files, long_size = sorted(long.glob("*.txt")), folder_bytes(long)
    outputs: list[Path] = []

    def ours(files: list[Path], processes: int | None = None) -> None:
        outputs.append(
            Path(tempfile.mkdtemp(dir=folder))
        )  # starts from an empty folder, as a run does
        encode_split(
            files,
            tokenizer=tokenizer,
            output=outputs[-1],
            progress=ignore,
            should_stop=never,
            processes=processes,
        )

    one, two = alternate(ROUNDS, lambda: ours(long_files, 1), lambda: ours(long_files, 2))
    compare(
        "corpus/encode",
        "two_processes_bytes_per_second",
        long_size,
        two,
        "one_process",
        one,
        long_size,
    )
    short = best_of(ROUNDS, lambda: ours(files))
    mismatches = recount(TokenFile.open(outputs[-1]), files)
    figure("corpus/encode", "documents_with_other_word_count", mismatches, "1")
    plain = load_tokenizer(tokenizer)
    whole = seconds_of(lambda: encode_files(plain, files))
    compare("corpus/encode", "bytes_per_second", size, short, "one_encode_a_file", whole, size)
    compare(
        "corpus/encode", "long_bytes_per_second", long_size, two, "one_encode_a_file", whole, size
    )
    batches = seconds_of(lambda: encode_documents(plain, files))
    compare(
        "corpus/encode",
        "bytes_per_second",
        size,
        short,
        "encode_batch_fast_documents",
        batches,
        size,
    )


def encode_files(tokenizer: Tokenizer, files: list[Path]) -> None:
    for path in files:
        ignore(tokenizer.encode(path.read_text(encoding="utf-8")).ids)


def encode_documents(tokenizer: Tokenizer, files: list[Path]) -> None:
    for path in files:
        documents = path.read_text(encoding="utf-8").split("\n\n")
        for encoding in tokenizer.encode_batch_fast(documents):
            ignore(encoding.ids)


def recount(tokens: TokenFile, files: list[Path]) -> int:
    """Number of documents for which the token file gives another number of words than the text."""
    ledger = tokens.word_counts(np.append(tokens.documents, np.uint64(tokens.num_tokens)))
    counted = [words for path in files for words in document_words(path)]
    if len(counted) != len(ledger):
        note("corpus/encode", f"{len(counted)} documents in the text, {len(ledger)} in the tokens")
        return abs(len(counted) - len(ledger))
    return int(np.count_nonzero(np.array(counted) != ledger))


def document_words(path: Path) -> Iterator[int]:
    words = 0
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line == "\n":
                yield words
                words = 0
            words += len(line.split())
    yield words


# corpus/pipeline


def bench_pipeline(corpus: Corpus, folder: Path) -> None:
    """Measures the stages before training, and the memory of the process that runs them."""
    size = folder_bytes(corpus.long)
    output = folder / "pipeline"
    output.mkdir()
    command = python_command("benchmarks.bench_corpus", str(corpus.long), str(output))
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        with peak_resident(process.pid) as peak:
            assert process.stdout is not None
            stages = process.stdout.read().split()
        seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"the pipeline ended with status {process.returncode}")
    names = ("clean", "tokenizer", "tokenize")
    for name, (begin, end) in zip(names, pairwise(map(float, stages)), strict=True):
        figure("corpus/pipeline", f"{name}_seconds", end - begin, "s")
    figure("corpus/pipeline", "seconds", seconds, "s")
    figure("corpus/pipeline", "bytes_per_second", size / seconds, "byte/s")
    figure("corpus/pipeline", "peak_resident_bytes", max(peak), "byte")


def pipeline(raw: Path, output: Path) -> None:
    """Cleans, trains and encodes; prints when each stage began and when the last one ended."""
    times = [time.perf_counter()]
    clean_folder(raw, output / "clean")
    times.append(time.perf_counter())
    files = sorted((output / "clean").glob("*.txt"))
    for name in ("tokenizer", "tokens"):
        (output / name).mkdir()
    spec = TokenizerSpec(vocab_size=VOCAB_SIZE)
    train_bpe(files, spec=spec, output=output / "tokenizer", progress=ignore, should_stop=never)
    times.append(time.perf_counter())
    encode_split(
        files,
        tokenizer=output / "tokenizer",
        output=output / "tokens",
        progress=ignore,
        should_stop=never,
    )
    times.append(time.perf_counter())
    print(*times)


@contextmanager
def peak_resident(pid: int) -> Iterator[list[int]]:
    """Samples the resident bytes of a process and its descendants together, 20 times a second."""
    samples, ended = [0], threading.Event()
    watched = psutil.Process(pid)

    def watch() -> None:
        while not ended.wait(0.05):
            total = 0
            try:
                family = [watched, *watched.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            for process in family:
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            samples.append(total)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


# measuring


def compare(
    name: str,
    metric: str,
    size: int,
    seconds: float,
    baseline: str,
    baseline_seconds: float,
    baseline_size: int,
) -> None:
    ratio = (size / seconds) / (baseline_size / baseline_seconds)
    figure(name, metric, size / seconds, "byte/s", baseline, ratio)


def alternate(rounds: int, *works: Callable[[], None]) -> list[float]:
    """The shortest time of each function. The functions take turns, so load affects all of them."""
    seconds = [[seconds_of(work) for work in works] for _ in range(rounds)]
    return [min(column) for column in zip(*seconds, strict=True)]


def best_of(rounds: int, work: Callable[[], None]) -> float:
    return min(seconds_of(work) for _ in range(rounds))


def seconds_of(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix != ".json")


def ignore(_: object) -> None:
    return None


def never() -> bool:
    return False


if __name__ == "__main__":
    pipeline(Path(sys.argv[1]), Path(sys.argv[2]))
