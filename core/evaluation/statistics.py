"""Rank correlation and explained variance, computed as in the official pipeline."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def ranks(values: Sequence[float]) -> Floats:
    """Ranks from 1, (N,) float64; equal values get the mean of their ranks."""
    found = np.asarray(values, dtype=np.float64)  # (N,)
    _, inverse, counts = np.unique(found, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: Floats = (last - (counts - 1) / 2.0)[inverse]
    return means


def spearman(left: Sequence[float], right: Sequence[float]) -> float:
    """Spearman's rank correlation.

    Raises:
        ValueError: If all values of one side are equal.
    """
    first, second = ranks(left), ranks(right)
    if len(first) < 2 or first.std() == 0.0 or second.std() == 0.0:
        raise ValueError("a rank correlation needs two different values on both sides")
    return float(np.corrcoef(first, second)[0, 1])


def r_squared(outcome: Floats, columns: Sequence[Floats]) -> float:
    """Share of the variance explained by a least-squares fit with an intercept.

    Args:
        outcome: (N,) float64.
        columns: Predictors, each (N,) float64.
    """
    matrix = np.column_stack([np.ones_like(outcome), *columns])  # (N, P)
    norms = np.linalg.norm(matrix, axis=0)
    # The scaled columns span the same space, and the fit is better conditioned.
    matrix = matrix / np.where(norms > 0.0, norms, 1.0)
    fitted = matrix @ np.linalg.lstsq(matrix, outcome, rcond=None)[0]  # (N,)
    spread = float(((outcome - outcome.mean()) ** 2).sum())
    return 1.0 - float(((outcome - fitted) ** 2).sum()) / spread


def with_interactions(columns: Sequence[Floats]) -> list[Floats]:
    """The columns, and the products of all pairs of columns."""
    found = list(columns)
    for index, column in enumerate(columns):
        found += [column * other for other in columns[index + 1 :]]
    return found
