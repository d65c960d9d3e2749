"""Tokenizer training and encoding against `tokenizers` used the plain way, on real text.

    python -m benchmarks.encode FOLDER [--vocab-size 16000] [--repeat-to-bytes N]

FOLDER (or BABYLM_BENCH_DATA) holds text files; white space is put in order first. Prints a line
of JSON for each figure. Both sides run in the same process run, one after the other.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tokenizers import Tokenizer

from core.dataset.chunks import load_tokenizer
from core.dataset.encode import encode_split
from core.spec import TokenizerSpec
from core.tokenizer.bpe import new_tokenizer, new_trainer, train_bpe

MEBIBYTE = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", nargs="?", default=os.environ.get("BABYLM_BENCH_DATA"))
    parser.add_argument("--vocab-size", type=int, default=16_000)
    parser.add_argument("--repeat-to-bytes", type=int, default=0)
    options = parser.parse_args()
    sources = sorted(path for path in Path(options.folder or "").glob("*") if path.is_file())
    if not options.folder or not sources:
        print("skipped: name a folder of text, or set BABYLM_BENCH_DATA", file=sys.stderr)
        return
    # One process is to mean one core, on both sides of the scaling figure.
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    with tempfile.TemporaryDirectory() as folder:
        files = prepare(sources, Path(folder), repeat_to_bytes=0)
        tokenizer = bench_tokenizer(files, Path(folder), vocab_size=options.vocab_size)
        if options.repeat_to_bytes:
            files = prepare(sources, Path(folder), repeat_to_bytes=options.repeat_to_bytes)
        bench_encode(files, tokenizer, Path(folder))


def prepare(sources: list[Path], folder: Path, *, repeat_to_bytes: int) -> list[Path]:
    """The text in clean form, the whole of it repeated until it has the size asked for."""
    contents = {path.stem: b"\n\n".join(documents(path)) + b"\n\n" for path in sources}
    size = sum(map(len, contents.values()))
    times = max(1, round(repeat_to_bytes / size))
    output = folder / f"clean{times}"
    output.mkdir(exist_ok=True)
    for stem, content in contents.items():
        with (output / f"{stem}.txt").open("wb") as file:
            for _ in range(times):
                file.write(content)
    return sorted(output.iterdir())


def documents(path: Path) -> Iterator[bytes]:
    lines: list[str] = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            words = line.split()
            if words:
                lines.append(" ".join(words))
            elif lines:
                yield "\n".join(lines).encode()
                lines = []
    if lines:
        yield "\n".join(lines).encode()


def bench_tokenizer(files: list[Path], folder: Path, *, vocab_size: int) -> Path:
    spec = TokenizerSpec(vocab_size=vocab_size)
    output = folder / "tokenizer"
    output.mkdir()

    def direct() -> None:
        tokenizer = new_tokenizer()
        tokenizer.train([str(path) for path in files], new_trainer(spec))

    def ours() -> None:
        train_bpe(files, spec=spec, output=output, progress=ignore, should_stop=never)

    size = sum(path.stat().st_size for path in files)
    direct_seconds, our_seconds = best_of(3, direct), best_of(3, ours)
    report("corpus/tokenizer", size, our_seconds, "tokenizers_directly", direct_seconds)
    return output


def bench_encode(files: list[Path], tokenizer: Path, folder: Path) -> None:
    size = sum(path.stat().st_size for path in files)
    output = folder / "tokens"
    output.mkdir()

    def ours(processes: int | None) -> Callable[[], None]:
        return lambda: ignore(
            encode_split(
                files,
                tokenizer=tokenizer,
                output=output,
                progress=ignore,
                should_stop=never,
                processes=processes,
            )
        )

    plain = load_tokenizer(tokenizer)
    batch_seconds = best_of(1, lambda: encode_lines(plain, files))
    seconds = best_of(3, ours(None))
    report("corpus/encode", size, seconds, "encode_batch_fast_of_documents", batch_seconds)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    one, two = best_of(3, ours(1)), best_of(3, ours(2))
    report("corpus/encode", size, two, "one_process", one)
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    report_memory("before_one_encode_per_file", peak, children)
    file_seconds = best_of(1, lambda: encode_files(plain, files))
    report("corpus/encode", size, seconds, "one_encode_per_file", file_seconds)


def encode_files(tokenizer: Tokenizer, files: list[Path]) -> None:
    for path in files:
        ignore(tokenizer.encode(path.read_text(encoding="utf-8")).ids)


def encode_lines(tokenizer: Tokenizer, files: list[Path]) -> None:
    for path in files:
        texts = path.read_text(encoding="utf-8").split("\n\n")
        for encoding in tokenizer.encode_batch_fast(texts):
            ignore(encoding.ids)


def best_of(times: int, work: Callable[[], None]) -> float:
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def report(name: str, size: int, seconds: float, baseline: str, baseline_seconds: float) -> None:
    figures = {
        "benchmark": name,
        "metric": "bytes_per_second",
        "value": round(size / seconds),
        "seconds": round(seconds, 3),
        "bytes": size,
        "baseline": baseline,
        "baseline_value": round(size / baseline_seconds),
        "ratio": round(baseline_seconds / seconds, 2),
    }
    print(json.dumps(figures), flush=True)


def report_memory(when: str, own: int, child: int) -> None:
    figures = {
        "benchmark": "corpus/encode",
        "metric": "peak_resident_bytes",
        "when": when,
        "value": own,
        "largest_child": child,
    }
    print(json.dumps(figures), flush=True)


def ignore(_: object) -> None:
    return None


def never() -> bool:
    return False


if __name__ == "__main__":
    main()
