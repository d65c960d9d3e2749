from pathlib import Path

import pytest

from core.events.paths import shorten_paths
from core.events.types import ErrorData


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("there is no dataset folder /srv/babylm/data/x", "there is no dataset folder data/x"),
        ("/srv/data/train_10M/a.train: line 3", "train_10M/a.train: line 3"),
        ("No such file: '/srv/runs/jobs/3f/spec.json'", "No such file: '3f/spec.json'"),
        ("(/a/b/c/d)", "(c/d)"),
        ("see https://example.org/a/b and/or read 1/2", None),
        ("training.epochs is 3 tokens/s, ./here/there, a/b/c", None),
    ],
)
def test_only_the_end_of_an_absolute_path_is_kept(text, expected):
    assert shorten_paths(text) == (text if expected is None else expected)


def test_folders_with_spaces_are_cut_where_they_are_known():
    text = "/home/Ann Lee/my data/train/a.train is empty; see /home/Ann Lee/my data"
    roots = [Path("/home/Ann Lee/my data")]
    assert shorten_paths(text, roots=roots) == "my data/train/a.train is empty; see my data"


def test_no_error_event_holds_a_path_of_the_server():
    error = ErrorData(code="x", message="/srv/a/b/c.txt is gone", hint="Look into /srv/a/b/c.")
    assert error.message == "b/c.txt is gone"
    assert error.hint == "Look into b/c."
