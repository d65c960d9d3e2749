"""Computes scores and predictions from the log-probabilities of the items.

Official rules (babylm/evaluation-pipeline-2025): the candidate with the highest sum is chosen; in a
tie, the first one. The score of a task is the mean over its subsets. The score of a group is the
mean over its items, which may belong to different subsets.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from core.errors import EvaluationInvalid
from core.evaluation.aoa import WordInContext
from core.evaluation.entity_tracking import SPLITS
from core.evaluation.items import Item, ItemKind, Json
from core.evaluation.reading import EYE_TRACKING, PREDICTORS, SELF_PACED, ReadingRow
from core.evaluation.statistics import Floats, r_squared, spearman, with_interactions
from core.events.results import EvaluationResult, GroupScore, ParadigmScore


@dataclass
class _Tally:
    items: int = 0
    right: int = 0
    ties: int = 0
    phenomenon: str | None = None

    def add(self, margin: float) -> None:
        """Counts an item. `margin` is the right candidate's sum minus the best other sum."""
        self.items += 1
        self.right += margin > 0.0
        self.ties += margin == 0.0

    @property
    def score(self) -> float:
        return (self.right + self.ties) / self.items

    @property
    def strict_score(self) -> float:
        return self.right / self.items


@dataclass
class Summary:
    """A result, and the predictions in the official format."""

    result: EvaluationResult
    predictions: Json = field(default_factory=dict)


def summarise_items(
    kind: ItemKind, items: Sequence[Item], sums: Sequence[Sequence[float]], *, seconds: float
) -> Summary:
    """The scores of a task with items that have candidates.

    Args:
        kind: The task kind.
        items: All items, in the order of their files.
        sums: Log-probabilities of the candidates of each item, up to a constant per item.
        seconds: Computing time in seconds.
    """
    predictions = _predictions(kind, items, sums)
    if kind.metric == "spearman":
        return Summary(_correlation(kind, items, sums, seconds), predictions)
    subsets: dict[str, _Tally] = {}
    groups: dict[tuple[str, str], _Tally] = {}
    for item, found in zip(items, sums, strict=True):
        margin = found[0] - max(found[1:])
        tally = subsets.setdefault(item.subset, _Tally())
        tally.add(margin)
        for group in item.groups:
            groups.setdefault(group, _Tally()).add(margin)
            if group[0] == "linguistics_term":
                tally.phenomenon = tally.phenomenon or group[1]
    paradigms = [
        ParadigmScore(
            name=name,
            phenomenon=tally.phenomenon,
            pairs=tally.items,
            score=tally.score,
            strict_score=tally.strict_score,
        )
        for name, tally in sorted(subsets.items())
    ]
    result = EvaluationResult(
        kind=kind.name,
        metric=kind.metric,
        chance=kind.chance,
        score=_headline(kind, {each.name: each.score for each in paradigms}),
        strict_score=_headline(kind, {each.name: each.strict_score for each in paradigms}),
        pairs=len(items),
        seconds=seconds,
        paradigms=paradigms,
        groups=[
            GroupScore(
                by=by,
                name=name,
                pairs=tally.items,
                score=tally.score,
                strict_score=tally.strict_score,
            )
            for (by, name), tally in sorted(groups.items())
        ],
    )
    return Summary(result, predictions)


def summarise_reading(
    rows: Sequence[ReadingRow],
    surprisals: Sequence[float],
    previous: Sequence[float],
    *,
    seconds: float,
) -> Summary:
    """Scores of the reading-time task.

    Args:
        rows: The words.
        surprisals: Surprisal of each word in nats.
        previous: Surprisal of the word before each word; NaN if there is none.
        seconds: Computing time in seconds.
    """
    table = {name: np.array([row.numbers[name] for row in rows]) for name in rows[0].numbers}
    table |= {"pred": np.array(surprisals), "prev_pred": np.array(previous)}
    context = [table[name] for name in PREDICTORS[:3]]
    eye = [_gain(table[name], context, table["pred"]) for name in EYE_TRACKING]
    spill = [*context, table[PREDICTORS[3]], table["prev_pred"]]
    paced = _gain(table[SELF_PACED], spill, table["pred"])
    scores = {"eye_tracking": sum(eye) / len(eye), "self_paced_reading": paced}
    result = EvaluationResult(
        kind="reading",
        metric="r2_gain",
        chance=0.0,
        score=sum(scores.values()) / len(scores),
        strict_score=sum(scores.values()) / len(scores),
        pairs=len(rows),
        seconds=seconds,
        paradigms=[
            ParadigmScore(
                name=name, phenomenon=None, pairs=len(rows), score=value, strict_score=value
            )
            for name, value in scores.items()
        ],
    )
    entries: list[Json] = [
        {"id": number, "pred": value, "prev_pred": None if math.isnan(before) else before}
        for number, (value, before) in enumerate(zip(surprisals, previous, strict=True))
    ]
    return Summary(result, {"reading": {"predictions": entries}})


def summarise_words(
    words: Sequence[WordInContext], surprisals: Sequence[float | None], *, seconds: float
) -> Summary:
    """The mean log-probability of words in context.

    Args:
        words: All words.
        surprisals: Surprisal of each word in nats; None for a word without a token before it.
        seconds: Computing time in seconds.

    Raises:
        EvaluationInvalid: If no word has a surprisal.
    """
    known = [-value for value in surprisals if value is not None]
    if not known:
        raise EvaluationInvalid("aoa: no word has a context")
    score = sum(known) / len(known)
    result = EvaluationResult(
        kind="aoa",
        metric="log_probability",
        chance=0.0,
        score=score,
        strict_score=score,
        pairs=len(known),
        seconds=seconds,
        paradigms=[
            ParadigmScore(
                name="words", phenomenon=None, pairs=len(known), score=score, strict_score=score
            )
        ],
    )
    entries = [
        {
            "target_word": word.word,
            "context_id": word.context_id,
            "context": word.context,
            "surprisal": value,
        }
        for word, value in zip(words, surprisals, strict=True)
    ]
    return Summary(result, {"results": entries})


def _predictions(
    kind: ItemKind, items: Sequence[Item], sums: Sequence[Sequence[float]]
) -> dict[str, dict[str, list[Json]]]:
    found: dict[str, dict[str, list[Json]]] = {}
    for item, values in zip(items, sums, strict=True):
        entries = found.setdefault(item.subset, {"predictions": []})["predictions"]
        chosen = max(range(len(values)), key=values.__getitem__)  # in a tie, the first
        entry: Json = {
            "id": f"{item.subset}_{len(entries)}",
            "pred": item.candidates[chosen].prediction,
        }
        if kind.metric == "spearman":
            entry["prob"] = _share_of_first(values)
        entries.append(entry)
    return found


def _correlation(
    kind: ItemKind, items: Sequence[Item], sums: Sequence[Sequence[float]], seconds: float
) -> EvaluationResult:
    ratios = [math.nan if item.human_ratio is None else item.human_ratio for item in items]
    try:
        score = spearman([_share_of_first(values) for values in sums], ratios)
    except ValueError as error:
        raise EvaluationInvalid(f"{kind.name}: {error}") from error
    subset = items[0].subset
    paradigm = ParadigmScore(
        name=subset, phenomenon=None, pairs=len(items), score=score, strict_score=score
    )
    return EvaluationResult(
        kind=kind.name,
        metric=kind.metric,
        chance=kind.chance,
        score=score,
        strict_score=score,
        pairs=len(items),
        seconds=seconds,
        paradigms=[paradigm],
    )


def _share_of_first(values: Sequence[float]) -> float:
    """Softmax probability of the first candidate, in float32 as in the official pipeline.

    float32 rounds different probabilities near 1 to the same number. Items with the same number are
    ties in the rank correlation, so float64 would give another score.
    """
    sums = np.asarray(values, dtype=np.float32)
    weights = np.exp(sums - sums.max())
    return float(weights[0] / weights.sum())


def _headline(kind: ItemKind, scores: dict[str, float]) -> float:
    """The mean over the subsets. For entity tracking, the subsets are first averaged by split."""
    if kind.name == "entity_tracking":
        splits = []
        for split in SPLITS:
            own = [score for name, score in scores.items() if name.startswith(split)]
            if own:
                splits.append(sum(own) / len(own))
        if splits:
            return sum(splits) / len(splits)
    return sum(scores.values()) / len(scores)


def _gain(outcome: Floats, columns: Sequence[Floats], surprisal: Floats) -> float:
    """Fraction of the residual variance of the baseline regression that `surprisal` explains.

    The baseline regresses `outcome` on `columns` and their pairwise products. Rows with a missing
    value are left out.
    """
    is_whole = ~np.isnan(np.column_stack([outcome, *columns, surprisal])).any(axis=1)
    baseline = with_interactions([column[is_whole] for column in columns])
    before = r_squared(outcome[is_whole], baseline)
    after = r_squared(outcome[is_whole], [*baseline, surprisal[is_whole]])
    return (after - before) / (1.0 - before)
