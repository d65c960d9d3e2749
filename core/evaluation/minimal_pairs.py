"""Minimal pairs: BLiMP, its supplement, and any file of the same format.

A line has `sentence_good` and `sentence_bad` (BLiMP: Warstadt et al., TACL 8, 2020). The good
sentence should have the higher log-probability.
"""

from core.evaluation.items import Item, Json, Metric, text_field, whole


class MinimalPairs:
    """Pairs of sentences.

    The paradigm of a line is its `UID` if the line has `field` and `UID`, otherwise the file name.
    """

    name = "minimal_pairs"
    metric: Metric = "accuracy"
    chance = 0.5
    fields = ("sentence_good", "sentence_bad")
    expected = "a JSON object with sentence_good and sentence_bad"

    def parse(self, entry: Json, stem: str) -> Item:
        """The item of a line. BLiMP's lines also have `UID`, `field` and `linguistics_term`."""
        candidates = (
            whole(text_field(entry, "sentence_good")),
            whole(text_field(entry, "sentence_bad")),
        )
        if "field" not in entry:
            term = entry.get("linguistics_term", entry.get("phenomenon"))
            named = (("linguistics_term", term),) if isinstance(term, str) else ()
            return Item(stem, candidates, named)
        field = text_field(entry, "field")
        subset = text_field(entry, "UID") if "UID" in entry else stem
        groups = [("field", "syntax/semantics" if field == "syntax_semantics" else field)]
        if "linguistics_term" in entry:
            groups.append(("linguistics_term", text_field(entry, "linguistics_term")))
        return Item(subset, candidates, tuple(groups))
