"""Age of acquisition: surprisal of words in context (Chang & Bergen, TACL 10, 2022).

`cdi_childes.json` is an object. Its keys are words; the value of a word is a list of objects with
the field `context`. For each milestone (a checkpoint after a given number of words), the official
BabyLM pipeline (AoA_word) computes the surprisal of each word after each of its contexts. It then
compares two properties of a word: how fast its surprisal falls during training, and the age at
which children know the word. This module does not import numpy.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from core.evaluation.items import Metric

SHORTEST_WORD = 2
"""Minimum number of characters of a word. The official pipeline skips shorter words."""


@dataclass(frozen=True, slots=True)
class WordInContext:
    """A word and the text before it."""

    word: str
    context: str
    context_id: int
    """Position of the context in the word's list of contexts, counted from 0."""

    @property
    def text(self) -> str:
        """The text that is scored; it ends with the word."""
        return f"{self.context.strip()} {self.word.strip()}"


class Aoa:
    """Surprisals of words in context. The score is the mean log-probability of a word in nats."""

    name = "aoa"
    metric: Metric = "log_probability"
    chance = 0.0
    expected = 'a JSON object such as {"dog": [{"context": "I saw a"}]}'

    def read(self, path: Path) -> list[WordInContext]:
        """The words of a file, each once per context, in the order of the file.

        Raises:
            ValueError: If the file is invalid. If the error is in the contexts of a word, the
                message names the word.
        """
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("the file is not a JSON object of words")
        words = []
        for word, contexts in content.items():
            if not isinstance(contexts, list):
                raise ValueError(f"the word {word[:40]!r} has no list of contexts")
            for number, entry in enumerate(contexts):
                if not isinstance(entry, dict) or not isinstance(entry.get("context"), str):
                    raise ValueError(
                        f"entry {number} of the word {word[:40]!r} has no string in field context"
                    )
                if len(word) >= SHORTEST_WORD:
                    words.append(WordInContext(word, entry["context"], number))
        return words
