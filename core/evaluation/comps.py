"""COMPS: conceptual minimal pairs (Misra et al., EACL 2023), in BabyLM's format.

The property phrase should be more likely after the acceptable prefix than after the unacceptable
one. Only the tokens of the property phrase are scored.
"""

from core.evaluation.items import Candidate, Item, Json, Metric, text_field

SUBSETS = {
    "comps_base": "base",
    "comps_wugs": "wugs",
    "comps_wugs_dist-before": "wugs_dist_before",
}
"""Names of subsets by file name. Any other file belongs to `LAST_SUBSET`, as in the official
pipeline."""
LAST_SUBSET = "wugs_dist_in_between"


class Comps:
    """Items with one property phrase and two prefixes."""

    name = "comps"
    metric: Metric = "accuracy"
    chance = 0.5
    fields = ("prefix_acceptable", "prefix_unacceptable", "property_phrase")
    expected = "a JSON object with prefix_acceptable, prefix_unacceptable and property_phrase"

    def parse(self, entry: Json, stem: str) -> Item:
        """The item of a line. The prediction of a candidate is its whole sentence."""
        phrase = text_field(entry, "property_phrase")
        candidates = []
        for field in ("prefix_acceptable", "prefix_unacceptable"):
            text = f"{text_field(entry, field)} {phrase}"
            candidates.append(Candidate(text, len(phrase), text))
        return Item(SUBSETS.get(stem, LAST_SUBSET), tuple(candidates))
