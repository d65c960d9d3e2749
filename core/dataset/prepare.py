"""The stage `tokenize`: encodes the splits of a run into token files, unless they are cached."""

from pathlib import Path

from core.corpus.split import Split
from core.dataset.encode import ENCODE_VERSION, encode_split
from core.dataset.tokens import TokenFile
from core.stages.context import Run
from core.stages.reporter import StageReporter
from core.storage.cache import CacheEntry, fingerprint


def encode_splits(
    run: Run,
    reporter: StageReporter,
    tokenizer: Path,
    tokenizer_key: str,
    train: Split,
    validation: Split | None,
) -> tuple[Path, Path | None]:
    """The folders of the token files of the training and the validation text.

    Raises:
        Stopped: After a stop request.
    """
    splits = [train] if validation is None else [train, validation]
    sizes = [split.report.bytes_out for split in splits]
    entries: list[CacheEntry] = []
    with reporter.stage("tokenize") as stage:
        for index, split in enumerate(splits):
            begin, share = sum(sizes[:index]) / sum(sizes), sizes[index] / sum(sizes)

            def advance(part: float, begin: float = begin, share: float = share) -> None:
                reporter.progress(begin + share * part)

            def build(folder: Path, split: Split = split) -> None:
                encode_split(
                    split.files,
                    tokenizer=tokenizer,
                    output=folder,
                    progress=advance,
                    should_stop=run.stop,
                )

            key = fingerprint(
                "tokenize",
                version=ENCODE_VERSION,
                parameters={},
                inputs=[tokenizer_key, split.fingerprint],
            )
            name = "tokenize/validation" if index else "tokenize/train"
            entries.append(run.inputs.take(name, key, build, resume=True))
            tokens = TokenFile.open(entries[-1].path)
            stage.counts["validation" if index else "train"] = {
                "tokens": tokens.num_tokens,
                "words": tokens.num_words,
                "documents": tokens.num_documents,
                "bytes": tokens.num_bytes,
            }
        stage.cached = all(entry.cached for entry in entries)
    return entries[0].path, entries[1].path if validation is not None else None
