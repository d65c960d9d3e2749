"""The journal has only complete lines, even after a crash during a write."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events.journal import JournalWriter, read_journal
from core.events.types import SampleData, WarningData


def warning(number: int) -> WarningData:
    return WarningData(code="test", message=str(number))


def messages(path, **options) -> list[str]:
    return [event.data["message"] for event, _ in read_journal(path, **options)]


def test_appended_events_are_read_back_in_order(tmp_path):
    path = tmp_path / "events.jsonl"
    with JournalWriter(path) as journal:
        for number in range(5):
            journal.append(warning(number))
    assert messages(path) == ["0", "1", "2", "3", "4"]


def test_a_reader_continues_from_the_offset_after_an_event(tmp_path):
    path = tmp_path / "events.jsonl"
    with JournalWriter(path) as journal:
        for number in range(5):
            journal.append(warning(number))
    for index, (_, offset) in enumerate(read_journal(path)):
        assert messages(path, offset=offset) == [str(n) for n in range(index + 1, 5)]


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_an_incomplete_last_line_is_not_read_and_the_next_writer_removes_it(tmp_path, cut):
    path = tmp_path / "events.jsonl"
    with JournalWriter(path) as journal:
        journal.append(warning(0))
        journal.append(warning(1))
    os.truncate(path, path.stat().st_size - cut)
    assert messages(path) == ["0"]
    with JournalWriter(path) as journal:
        journal.append(warning(2))
    assert messages(path) == ["0", "2"]


def test_a_line_longer_than_the_read_size_is_read_completely(tmp_path):
    path = tmp_path / "events.jsonl"
    with JournalWriter(path) as journal:
        journal.append(SampleData(step=1, prompt="", text="x" * 10_000))
        journal.append(warning(1))
    first = read_journal(path, limit_bytes=100)
    assert first[0][0].type == "sample"
    assert messages(path, offset=first[0][1]) == ["1"]


@given(text=st.text())
def test_any_text_survives(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("journal") / "events.jsonl"
    with JournalWriter(path) as journal:
        journal.append(WarningData(code="test", message=text))
    assert messages(path) == [text]


def test_a_full_disk_leaves_no_incomplete_line(tmp_path):
    path = tmp_path / "events.jsonl"
    import resource
    import signal

    with JournalWriter(path) as journal:
        journal.append(warning(0))
        size = path.stat().st_size
        old_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, old_limit[1]))
            with pytest.raises(OSError, match="File too large"):
                journal.append(warning(1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
            signal.signal(signal.SIGXFSZ, old_handler)
        assert path.stat().st_size == size
        journal.append(warning(2))
    assert messages(path) == ["0", "2"]
