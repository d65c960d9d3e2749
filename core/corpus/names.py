r"""The shown form of file names, and which names are texts. Imports no large module.

The name of a file may contain any bytes except "/" and NUL. Names that are not UTF-8 or not
printable are shown with escapes, such as `caf\xe9.txt`; users give this form in specs and paths.
"""

import os
from hashlib import blake2b

TEXT_SUFFIXES = (
    *(".train.txt", ".dev.txt", ".test.txt", ".txt.utf-8", ".txt.utf8"),
    *(".train", ".dev", ".test", ".txt", ".cha", ".srt", ".vtt"),
)
"""In lower case, longer ones first. Since 2025 training files are also handed out as
`<name>.train.txt`, and Project Gutenberg has `<number>.txt.utf-8`."""
MAX_STEM_BYTES = 200
"""The name of the cleaned file; a name may have 255 bytes, and escapes make it longer."""


def shown_name(name: str) -> str:
    """The name with escapes for all that is not printable Unicode."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def text_stem(name: str) -> str | None:
    """The shown name without the suffix of a text; None if the name is not that of a text."""
    suffix = text_suffix(name)
    if suffix is None or name.startswith("."):
        return None
    return _bounded(shown_name(name[: -len(suffix)])) or None


def text_suffix(name: str) -> str | None:
    """The suffix of a text, in lower case."""
    lower = name.lower()
    return next((suffix for suffix in TEXT_SUFFIXES if lower.endswith(suffix)), None)


def reason_left_out(name: str) -> str:
    """The reason why a file with this name is not used as text."""
    if name.startswith("."):
        return "is hidden: its name begins with a full stop"
    return f"has no suffix of a text ({', '.join(TEXT_SUFFIXES)})"


def _bounded(stem: str) -> str:
    encoded = stem.encode()
    if len(encoded) <= MAX_STEM_BYTES:
        return stem
    digest = blake2b(encoded, digest_size=8).hexdigest()
    return encoded[: MAX_STEM_BYTES - 20].decode(errors="ignore") + "~" + digest
