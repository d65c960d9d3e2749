"""WUG: nonce words in adjective nominalisation (Hofmann 2024) and past tense (Weissweiler 2023).

A line has two fields: `sentences` contains texts separated by tabs, and `ratio` is the share of
people who chose the first text. The score is Spearman's rank correlation between that share and the
model's probability of the first text (softmax over the texts).
"""

from core.evaluation.items import Item, Json, Metric, text_field, whole

PAST = "past"


class Wug:
    """Two or more inflections of a nonce word, compared with human judgements."""

    name = "wug"
    metric: Metric = "spearman"
    chance = 0.0
    fields = ("sentences", "ratio")
    expected = "a JSON object with sentences (texts separated by a tab) and ratio (a number)"

    def parse(self, entry: Json, stem: str) -> Item:
        """The item of a line; the subset is `wug_past` if the file name contains `past`."""
        ratio = entry["ratio"]
        if isinstance(ratio, bool) or not isinstance(ratio, int | float):
            raise TypeError("ratio must be a number")
        texts = text_field(entry, "sentences").split("\t")
        if len(texts) < 2:
            raise ValueError("sentences must be two texts or more, separated by a tab")
        subset = "wug_past" if PAST in stem else "wug_adj"
        return Item(subset, tuple(whole(text) for text in texts), human_ratio=float(ratio))
