"""Nonce words: adjective nominalisation and past tense (Hofmann 2024, Weissweiler 2023).

A line has `sentences`, two texts with a tab between them, and `ratio`, the share of people who
chose the first. The score is Spearman's rank correlation between the model's probability of the
first (softmax over the two) and that share.
"""

from core.evaluation.items import Item, Json, Metric, text_field, whole

PAST = "past"


class Wug:
    """Two inflections of a nonce word, compared with human judgements."""

    name = "wug"
    metric: Metric = "spearman"
    chance = 0.0
    fields = ("sentences", "ratio")
    expected = "a JSON object with sentences (texts separated by a tab) and ratio (a number)"

    def parse(self, entry: Json, stem: str) -> Item:
        """Past tense if the file name says so, else adjective nominalisation."""
        ratio = entry["ratio"]
        if isinstance(ratio, bool) or not isinstance(ratio, int | float):
            raise TypeError("ratio must be a number")
        texts = text_field(entry, "sentences").split("\t")
        if len(texts) < 2:
            raise ValueError("sentences must be two texts or more, separated by a tab")
        subset = "wug_past" if PAST in stem else "wug_adj"
        return Item(subset, tuple(whole(text) for text in texts), human_ratio=float(ratio))
