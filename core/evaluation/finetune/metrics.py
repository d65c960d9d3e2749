"""Accuracy, F1 and Matthews correlation, as scikit-learn computes them.

The official pipeline calls scikit-learn's `accuracy_score`, `f1_score` and `matthews_corrcoef`.
This module does not import torch.
"""

from collections import Counter
from collections.abc import Sequence
from math import sqrt


def measures(labels: Sequence[int], predictions: Sequence[int]) -> dict[str, float]:
    """All official metrics by name, and `majority`, the share of the most frequent label.

    `f1` is the F1 of label 1. It exists only if there are at most two labels.
    """
    found = {"accuracy": accuracy(labels, predictions)}
    if max(*labels, *predictions, 1) == 1:
        found["f1"] = f1(labels, predictions)
    found["mcc"] = matthews_correlation(labels, predictions)
    found["majority"] = max(Counter(labels).values()) / len(labels)
    return found


def accuracy(labels: Sequence[int], predictions: Sequence[int]) -> float:
    """Share of correct predictions."""
    return sum(map(int.__eq__, labels, predictions)) / len(labels)


def f1(labels: Sequence[int], predictions: Sequence[int]) -> float:
    """Harmonic mean of precision and recall of label 1; 0 if label 1 does not occur."""
    pairs = Counter(zip(labels, predictions, strict=True))
    hits = pairs[1, 1]
    found = 2 * hits + pairs[0, 1] + pairs[1, 0]
    return 2 * hits / found if found else 0.0


def matthews_correlation(labels: Sequence[int], predictions: Sequence[int]) -> float:
    """Correlation of labels and predictions, for two or more classes (Gorodkin 2004).

    0 if the labels or the predictions are constant.
    """
    count = len(labels)
    actual, predicted = Counter(labels), Counter(predictions)
    correct = sum(map(int.__eq__, labels, predictions))
    covariance = correct * count - sum(actual[each] * predicted[each] for each in actual)
    of_actual = count**2 - sum(value**2 for value in actual.values())
    of_predicted = count**2 - sum(value**2 for value in predicted.values())
    if not of_actual or not of_predicted:
        return 0.0
    return covariance / sqrt(of_actual * of_predicted)
