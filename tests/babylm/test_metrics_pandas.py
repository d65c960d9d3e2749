"""The metrics of a job as a DataFrame; skipped if pandas is not installed."""

import pytest

from babylm.client.metrics import Metrics, read_metrics

pandas = pytest.importorskip("pandas")


def series(steps, values):
    counts = {"epoch": [step / 10 for step in steps], "tokens_seen": [step * 8 for step in steps]}
    return {"step": steps, "value": values, "words_seen": [step * 6 for step in steps], **counts}


def test_metrics_are_a_data_frame_by_step_with_missing_values():
    given = {
        "train/loss": series([1, 2, 3], [3.0, None, 2.0]),
        "validation/loss": series([2], [2.5]),
    }
    frame = read_metrics(given)
    assert isinstance(frame, pandas.DataFrame)
    assert (frame.index.name, list(frame.index)) == ("step", [1, 2, 3])
    assert list(frame.columns) == Metrics(given).columns
    assert frame["train/loss"].isna().tolist() == [False, True, False]
    assert frame.loc[2, "validation/loss"] == 2.5
    assert frame["validation/loss"].isna().tolist() == [True, False, True]
    assert frame["words_seen"].tolist() == [6, 12, 18]
