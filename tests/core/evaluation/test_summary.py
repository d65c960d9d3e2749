"""Summaries of sums of log-probabilities."""

from itertools import pairwise

import pytest

from core.evaluation.items import Item, whole
from core.evaluation.statistics import spearman
from core.evaluation.summary import summarise_items
from core.evaluation.wug import Wug


def test_probabilities_that_float32_rounds_to_one_number_share_a_rank():
    ratios = [0.9, 0.1, 0.5, 0.7, 0.3]
    margins = [18.0, 19.0, 25.0, 30.0, 2.0]
    items = [Item("wug_adj", (whole("a"), whole("b")), human_ratio=ratio) for ratio in ratios]
    summary = summarise_items(Wug(), items, [(0.0, -margin) for margin in margins], seconds=1.0)
    shares = [each["prob"] for each in summary.predictions["wug_adj"]["predictions"]]
    # As the official pipeline: float32 has no number between 1 - 2^-24 and 1.
    assert all(left == right == 1.0 for left, right in pairwise(shares[:4]))
    assert shares[4] == pytest.approx(0.8807971)
    assert summary.result.score == pytest.approx(spearman([1, 1, 1, 1, 0], ratios))
