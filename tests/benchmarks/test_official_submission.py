"""The comparison of a submission with the results of the official scripts."""

import json

import pytest

from benchmarks.official_submission import compare

ENTRY = {"id": 0, "pred": 7.5, "prev_pred": None}
PLACE = "small/main/zero_shot/causal/reading/predictions.json"


def write(folder, entry) -> None:
    file = folder / PLACE
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"reading": {"predictions": [entry]}}))


@pytest.mark.parametrize(
    ("entry", "is_equal"),
    [
        (ENTRY | {"prev_pred": float("nan")}, True),  # the official scripts write NaN
        (ENTRY | {"pred": 7.5 + 1e-6}, True),
        (ENTRY | {"pred": 7.5 + 1e-3}, False),
        (ENTRY | {"prev_pred": 1.0}, False),
        (ENTRY | {"id": 1}, False),
        ({"id": 0, "pred": 7.5}, False),
    ],
)
def test_a_different_value_is_counted(tmp_path, entry, is_equal):
    write(tmp_path / "ours", ENTRY)
    write(tmp_path / "theirs", entry)
    [line] = compare(tmp_path / "ours", tmp_path / "theirs", {"repository": "user/small"})
    assert (line["file"], line["equal"]) == (PLACE, is_equal)


def test_a_file_that_the_submission_lacks_is_counted(tmp_path):
    write(tmp_path / "theirs", ENTRY)
    [line] = compare(tmp_path / "ours", tmp_path / "theirs", {"repository": "user/small"})
    assert not line["equal"]
