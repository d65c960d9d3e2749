"""The benchmarks of load and of cleaning: their rates and their files."""

import pytest

from benchmarks import bench_corpus, bench_load


@pytest.mark.parametrize(("reads", "submits"), [(200, 5), (7, 5), (5, 5), (3, 3), (1, 1)])
def test_submits_are_sent_at_their_rate_whatever_the_rate_of_reads(monkeypatch, reads, submits):
    monkeypatch.setattr(bench_load, "READS_PER_SECOND", reads)
    assert [bench_load._submits_until(second * reads) for second in range(4)] == [
        second * submits for second in range(4)
    ]
    assert bench_load._submits_until(1) == 1


def test_the_reference_cleans_every_file(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("childes.train", "gutenberg.train"):
        (raw / name).write_text("Some words here.\n")
    bench_corpus.reference_clean(raw, tmp_path / "clean")
    assert sorted(path.name for path in (tmp_path / "clean").iterdir()) == [
        "childes.train",
        "gutenberg.train",
    ]
    assert all(path.stat().st_size for path in (tmp_path / "clean").iterdir())
