r"""Decides from the name of a file whether it is a text, and how the name is shown.

Imports no large module.

The name of a file may contain any bytes except "/" and NUL. Names that are not UTF-8 or not
printable are shown with escapes, such as `caf\xe9.txt`; users give this form in specs and paths.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

TEXT_SUFFIXES = (
    *(".train.txt", ".dev.txt", ".test.txt", ".txt.utf-8", ".txt.utf8"),
    *(".train", ".dev", ".test", ".txt", ".cha", ".srt", ".vtt"),
)
"""Suffixes of plain text in lower case; longer suffixes come first. Since 2025 BabyLM also
distributes training files as `<name>.train.txt`. Project Gutenberg names its files
`<number>.txt.utf-8`."""
ROW_SUFFIXES = (".jsonl", ".csv", ".parquet", ".arrow")
"""Suffixes of files that consist of rows; one column is the text. `.arrow` is a file of a saved
Hugging Face dataset."""
COMPRESSIONS = (".gz", ".xz", ".zst")
"""Suffixes of compressed files. They may follow any of the suffixes above."""
ACCEPTED = f"{', '.join((*TEXT_SUFFIXES, *ROW_SUFFIXES))}, also with {', '.join(COMPRESSIONS)}"
"""The suffixes as an error message lists them."""
DATASET_FILES = ("dataset_info.json", "state.json", "dataset_dict.json")
"""Files that a saved Hugging Face dataset has in addition to its `.arrow` files."""
MAX_STEM_BYTES = 200
"""Maximum bytes of a stem (a name without its suffix), which becomes the name of the cleaned file.
File names may have at most 255 bytes, and the escapes of `shown_name` can make a stem longer than
the original name."""


def shown_name(name: str) -> str:
    """The name with escapes for everything that is not printable Unicode."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


@dataclass(frozen=True)
class Format:
    """The format of a file by the suffixes of its name."""

    suffix: str
    """One of `TEXT_SUFFIXES` or `ROW_SUFFIXES`."""
    compression: str
    """One of `COMPRESSIONS`, or empty."""

    @property
    def has_rows(self) -> bool:
        """Whether the text is a column of rows."""
        return self.suffix in ROW_SUFFIXES

    @property
    def is_plain(self) -> bool:
        """Whether the file is plain text: not compressed, and without rows."""
        return not self.compression and not self.has_rows


def text_format(name: str) -> Format | None:
    """The format of a text file; None if the name is not that of a text file."""
    lower = name.lower()
    compression = _ending(lower, COMPRESSIONS)
    suffix = _ending(lower.removesuffix(compression), (*TEXT_SUFFIXES, *ROW_SUFFIXES))
    return Format(suffix, compression) if suffix else None


def text_stem(name: str) -> str | None:
    """The shown name (`shown_name`) without suffixes; None if it is not the name of a text."""
    found = text_format(name)
    if found is None or name.startswith("."):
        return None
    stem = name[: -len(found.suffix + found.compression)]
    if found.has_rows:  # childes.train.jsonl is the text of childes
        stem = stem[: len(stem) - len(_ending(stem.lower(), TEXT_SUFFIXES))]
    return _bounded(shown_name(stem)) or None


def reason_left_out(name: str) -> str:
    """The reason why a file with this name is not used as text."""
    if name.startswith("."):
        return "is hidden: its name begins with a full stop"
    if name in DATASET_FILES:
        return "describes a saved dataset and contains no text"
    return "has no suffix of a text"


def _ending(name: str, suffixes: Iterable[str]) -> str:
    return next((suffix for suffix in suffixes if name.endswith(suffix)), "")


def _bounded(stem: str) -> str:
    encoded = stem.encode()
    if len(encoded) <= MAX_STEM_BYTES:
        return stem
    digest = blake2b(encoded, digest_size=8).hexdigest()
    return encoded[: MAX_STEM_BYTES - 20].decode(errors="ignore") + "~" + digest
