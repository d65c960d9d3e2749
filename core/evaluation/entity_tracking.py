"""Entity tracking (Kim & Schuster, ACL 2023), in BabyLM's format.

A text describes what boxes contain and what is moved between them. The first option should be
the most likely continuation of the text. A subset contains the items of one file that have the same
number of operations; for example, `regular_2_ops` has the items of `regular.jsonl` with two
operations.
"""

from core.evaluation.items import Candidate, Item, Json, Metric, text_field

SPLITS = ("regular", "ambiref", "move_contents")
"""The score is the mean over these splits; the score of a split is the mean over its subsets."""


class EntityTracking:
    """Items with several options after one prefix."""

    name = "entity_tracking"
    metric: Metric = "accuracy"
    chance = 0.2
    fields = ("input_prefix", "options", "numops")
    expected = "a JSON object with input_prefix, numops and two or more options"

    def parse(self, entry: Json, stem: str) -> Item:
        """The item of a line; its first option is correct."""
        prefix, options, operations = (entry[name] for name in self.fields)
        if not isinstance(operations, int):
            raise TypeError("numops must be an integer")
        if not isinstance(options, list) or len(options) < 2:
            raise TypeError("options must be a list of two or more")
        if not all(isinstance(option, str) for option in options):
            raise TypeError("options must be strings")
        prefix = text_field(entry, "input_prefix")
        candidates = tuple(Candidate(prefix + option, len(option), option) for option in options)
        return Item(f"{stem}_{operations}_ops", candidates)
