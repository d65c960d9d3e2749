"""COMPS: conceptual minimal pairs (Misra et al., EACL 2023), in the form BabyLM evaluates.

The property should be likelier after the acceptable prefix than after the other one; only the
tokens of the property are scored.
"""

from core.evaluation.items import Candidate, Item, Json, Metric, text_field

SUBSETS = {
    "comps_base": "base",
    "comps_wugs": "wugs",
    "comps_wugs_dist-before": "wugs_dist_before",
}
"""By file name; any other file is the last subset, as in the official pipeline."""
LAST_SUBSET = "wugs_dist_in_between"


class Comps:
    """One property after two prefixes."""

    name = "comps"
    metric: Metric = "accuracy"
    chance = 0.5
    fields = ("prefix_acceptable", "prefix_unacceptable", "property_phrase")
    expected = "a JSON object with prefix_acceptable, prefix_unacceptable and property_phrase"

    def parse(self, entry: Json, stem: str) -> Item:
        """The prediction of a pair is the whole sentence."""
        phrase = text_field(entry, "property_phrase")
        candidates = []
        for field in ("prefix_acceptable", "prefix_unacceptable"):
            text = f"{text_field(entry, field)} {phrase}"
            candidates.append(Candidate(text, len(phrase), text))
        return Item(SUBSETS.get(stem, LAST_SUBSET), tuple(candidates))
