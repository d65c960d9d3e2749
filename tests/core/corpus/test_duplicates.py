"""Duplicates and leaks: which are found, which are removed, and which stay."""

import pytest

from core.corpus.duplicates import HASHES, deduplicate, sketch
from core.errors import CorpusEmpty, Stopped

STORY = "the old fox went down to the river to drink and met a goose there"
OTHER = "no one in the village knew why the bell had been ringing all night long"
SHORT = "yeah , I know ."


def never():
    return False


@pytest.fixture
def run(tmp_path):
    """Deduplicates texts; returns the report and the remaining training texts."""

    def run(train, validation=(), *, mode="exact", should_stop=never):
        (tmp_path / "out").mkdir()
        files = []
        for name, texts in (("train", train), ("dev", validation)):
            (tmp_path / name).mkdir()
            for number, text in enumerate(texts):
                (tmp_path / name / f"{number}.txt").write_text(text + "\n")
            files.append(sorted((tmp_path / name).iterdir()))
        output = tmp_path / "out"
        report = deduplicate(*files, mode=mode, output=output, should_stop=should_stop)
        return report, [path.read_text() for path in sorted(output.glob("*.txt"))]

    return run


def test_a_repeated_document_is_taken_out_and_the_first_stays(run):
    report, (left, second) = run([f"{STORY}\n\n{OTHER}\n\n{STORY}", f"{OTHER}\n\nan end"])
    assert left == f"{STORY}\n\n{OTHER}\n"
    assert second == "an end\n"
    assert (report.exact.count, report.exact.words) == (2, len((STORY + " " + OTHER).split()))
    assert report.exact.examples == [STORY, OTHER]


def test_short_repetitions_stay(run):
    text = "\n".join([SHORT] * 5)
    report, left = run([text, f"{SHORT}\n\n{SHORT}"])
    assert left == [text + "\n", f"{SHORT}\n\n{SHORT}\n"]
    assert report.exact.count == 0


def test_repeated_long_lines_of_a_file_without_documents_are_taken_out(run):
    _, (left,) = run([f"{STORY}\n{SHORT}\n{STORY}\n{SHORT}"])
    assert left == f"{STORY}\n{SHORT}\n{SHORT}\n"


def test_lines_of_the_validation_text_are_taken_out_of_documents(run):
    report, (left,) = run([f"begin\n{STORY}\nend\n\n{OTHER}"], [f"x\n{STORY}\ny"])
    assert left == f"begin\nend\n\n{OTHER}\n"
    assert (report.leaked.count, report.leaked.examples) == (1, [STORY])


def test_report_counts_the_same_and_writes_no_text(run):
    report, left = run([f"{STORY}\n\n{STORY}\n\n{OTHER}"], [OTHER], mode="report")
    assert left == []
    # The second STORY repeats the first, and OTHER repeats the validation text.
    assert (report.exact.count, report.leaked.count) == (2, 0)


def test_near_documents_are_found_and_taken_out_only_where_asked(run, tmp_path):
    long = " ".join(f"word{number}" for number in range(300))
    near = long.replace("word150", "another")
    far = " ".join(f"thing{number}" for number in range(300))
    report, (left,) = run([f"{long}\n\n{near}\n\n{far}"], mode="near")
    assert left == f"{long}\n\n{far}\n"
    assert report.near.count == 1


def test_exact_leaves_near_documents_and_reports_them(run):
    long = " ".join(f"word{number}" for number in range(300))
    text = f"{long}\n\n{long.replace('word150', 'another')}"
    report, (left,) = run([text], mode="exact")
    assert left == text + "\n"
    assert report.near.count == 1


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_sketches_agree_as_often_as_sets_do(share):
    # With 64 hashes, five standard deviations are at most 0.31. A larger deviation has the
    # probability 1e-6.
    runs = 1000
    same = round(runs * 2 * share / (1 + share))
    one = [f"a{number}" for number in range(runs)]
    two = one[:same] + [f"b{number}" for number in range(runs - same)]
    agree = (sketch(" ".join(one)) == sketch(" ".join(two))).sum() / HASHES
    assert abs(agree - share) < 0.31


def test_a_file_of_which_nothing_is_left_is_an_error_that_names_it(run):
    with pytest.raises(CorpusEmpty, match=r"1\.txt would be empty"):
        run([STORY, STORY])


def test_a_stop_request_ends_the_work(run):
    with pytest.raises(Stopped):
        run([STORY], should_stop=lambda: True)
