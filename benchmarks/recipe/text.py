"""The text of the study: a slice of a folder or of an archive, copied into the work folder."""

import tarfile
from pathlib import Path

DONE = "complete"
SPLITS = {"train": "train_10M", "dev": "dev"}


def prepare_text(source: Path, work: Path, *, words: int | None) -> Path:
    """Copies the text into a data folder with `train` and `dev`; returns the folder.

    Args:
        source: A folder with `train_10M` and `dev`, or a tar archive of the two.
        work: The folder for the copies.
        words: Number of words of training text. Each file contributes its first lines, in
            proportion to its size. Lines stay whole. None means the whole text.

    Raises:
        FileNotFoundError: If the folder or the archive does not exist.
    """
    target = work / f"text-{words or 'all'}"
    if (target / DONE).exists():
        return target
    if source.is_file():
        unpacked = work / "unpacked"
        with tarfile.open(source) as archive:
            archive.extractall(unpacked, filter="data")
        source = unpacked
    for split, folder in SPLITS.items():
        files = sorted(path for path in (source / folder).iterdir() if path.is_file())
        share = 1.0
        if split == "train" and words is not None:
            share = min(1.0, words / sum(len(path.read_text().split()) for path in files))
        (target / split).mkdir(parents=True, exist_ok=True)
        for path in files:
            (target / split / path.name).write_text(_beginning(path.read_text(), share))
    (target / DONE).touch()
    return target


def _beginning(text: str, share: float) -> str:
    """The first lines of a text that together hold this share of its words."""
    lines = text.splitlines(keepends=True)
    left = share * sum(len(line.split()) for line in lines)
    for number, line in enumerate(lines):
        if left <= 0:
            return "".join(lines[:number])
        left -= len(line.split())
    return text
