"""The sample corpus: generated text in the six BabyLM formats, and minimal pairs.

With the sample corpus you can run the whole pipeline, from raw text to a model, in minutes.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from core.evaluation.tasks import FOLDER
from core.sample.formats import FORMATS
from core.sample.grammar import sentence
from core.sample.pairs import draw_pairs
from core.storage.rundir import publish_folder

SAMPLE, SAMPLE_DEV, PAIRS = "sample", "sample_dev", "minimal_pairs"
DEV_SHARE = 0.05
"""Size of the validation text as a fraction of the size of the training text."""


@dataclass(frozen=True)
class SampleReport:
    """The folders that `write_sample` writes."""

    train: Path
    validation: Path
    pairs: Path


def write_sample(data_dir: Path, *, seed: int = 0, target_bytes: int = 2_000_000) -> SampleReport:
    """Writes the sample corpus below `data_dir`; skips folders that exist.

    The same arguments give the same bytes. The text contains no sentence of a minimal pair, good
    or bad.

    Args:
        data_dir: Folder of corpora.
        seed: Seed of all random choices.
        target_bytes: Approximate size of the training text.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    pairs = draw_pairs(seed=seed)
    held_out = {text for drawn in pairs.values() for pair in drawn for text in pair}
    report = SampleReport(data_dir / SAMPLE, data_dir / SAMPLE_DEV, data_dir / FOLDER / PAIRS)

    def text_folder(suffix: str, size: int) -> Callable[[Path], None]:
        def build(folder: Path) -> None:
            for source, (_, share) in FORMATS.items():
                text = _source_text(source, f"{seed}:{suffix}", int(size * share), held_out)
                (folder / f"{source}.{suffix}").write_text(text, encoding="utf-8")

        return build

    def pairs_folder(folder: Path) -> None:
        for phenomenon, drawn in pairs.items():
            lines = [
                json.dumps({"sentence_good": good, "sentence_bad": bad, "phenomenon": phenomenon})
                for good, bad in drawn
            ]
            (folder / f"{phenomenon}.jsonl").write_text("\n".join(lines) + "\n")

    for folder, build in (
        (report.train, text_folder("train", target_bytes)),
        (report.validation, text_folder("dev", int(target_bytes * DEV_SHARE))),
        (report.pairs, pairs_folder),
    ):
        if not folder.is_dir():
            publish_folder(folder, build)
    return report


def _source_text(source: str, seed: str, size: int, held_out: set[str]) -> str:
    write, _ = FORMATS[source]
    random = Random(f"{seed}:{source}")

    def draw() -> str:
        while (text := sentence(random)) in held_out:
            pass
        return text

    lines: list[str] = []
    length = document = 0
    while length < size or not document:
        for line in write(random, draw, document=document):
            lines.append(line)
            length += len(line) + 1
        document += 1
    return "\n".join(lines) + "\n"
