"""EWoK: elements of world knowledge (Ivanova et al., 2024), in BabyLM's format.

Given the first context, the first target should be more likely than the second. Only the tokens of
the target are scored.
"""

from core.evaluation.items import Candidate, Item, Json, Metric, text_field


class Ewok:
    """Items with two targets after one context; the subset is the domain."""

    name = "ewok"
    metric: Metric = "accuracy"
    chance = 0.5
    fields = ("Context1", "Target1", "Target2", "Domain")
    expected = "a JSON object with Domain, Context1, Target1 and Target2"
    groups = (
        ("ContextType", "context_type"),
        ("ContextDiff", "context_contrast"),
        ("TargetDiff", "target_contrast"),
    )

    def parse(self, entry: Json, stem: str) -> Item:
        """The item of a line; its subset is the domain that the line names."""
        del stem
        context = text_field(entry, "Context1")
        candidates = []
        for field in ("Target1", "Target2"):
            completion = " " + text_field(entry, field)
            candidates.append(Candidate(context + completion, len(completion), completion))
        groups = tuple((by, str(entry[field])) for field, by in self.groups if field in entry)
        return Item(text_field(entry, "Domain"), tuple(candidates), groups)
