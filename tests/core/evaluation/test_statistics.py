import numpy as np
import pytest

from core.evaluation.statistics import r_squared, ranks, spearman, with_interactions


def test_equal_values_share_the_mean_of_their_ranks():
    assert ranks([3.0, 1.0, 3.0, 2.0, 3.0]).tolist() == [4.0, 1.0, 4.0, 2.0, 4.0]


def test_rank_correlation_of_known_data():
    # Textbook data without ties: 1 - 6 * sum(d^2) / (n (n^2 - 1)) = -29/165.
    iq = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
    hours = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
    assert spearman(iq, hours) == pytest.approx(-29 / 165)
    assert spearman([1.0, 2.0, 3.0], [-1.0, -2.0, -30.0]) == pytest.approx(-1.0)


def test_explained_variance_is_that_of_the_normal_equations():
    random = np.random.default_rng(0)
    columns = [random.normal(size=200) * scale + 7 for scale in (1.0, 1e3, 1e-3)]
    outcome = 3 * columns[0] - columns[1] / 500 + random.normal(size=200)
    centred = np.column_stack([column - column.mean() for column in columns])
    normal = centred / centred.std(axis=0)
    weights = np.linalg.solve(normal.T @ normal, normal.T @ (outcome - outcome.mean()))
    explained = ((normal @ weights) ** 2).sum() / ((outcome - outcome.mean()) ** 2).sum()
    assert r_squared(outcome, columns) == pytest.approx(explained, abs=1e-10)


def test_interactions_are_all_products_of_two():
    columns = [np.array([2.0]), np.array([3.0]), np.array([5.0])]
    assert [column[0] for column in with_interactions(columns)] == [2, 3, 5, 6, 10, 15]
