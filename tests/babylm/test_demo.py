import pytest

from babylm.demo import Findings, pairs_folder
from babylm.errors import CommandError
from core.sample import write_sample


def test_a_model_that_learned_has_no_faults():
    findings = Findings(perplexities=[500.0, 100.0], accuracies={"agreement": 0.9})
    assert findings.faults() == []


@pytest.mark.parametrize(
    ("findings", "said"),
    [
        (Findings(perplexities=[500.0]), "fewer than two"),
        (Findings(perplexities=[500.0, 101.0], accuracies={"a": 1.0}), "fall by a factor of 5"),
        (Findings(perplexities=[500.0, 90.0], accuracies={"a": 0.89}), "a: 89.0%"),
        (Findings(perplexities=[500.0, 90.0]), "no minimal pair"),
    ],
)
def test_the_demo_reports_what_the_model_did_not_learn(findings, said):
    assert said in findings.faults()[0]


def test_the_pairs_are_found_wherever_the_corpus_keeps_them(tmp_path):
    with pytest.raises(CommandError, match="no minimal pairs"):
        pairs_folder(tmp_path)
    (tmp_path / "sample_pairs").mkdir()
    (tmp_path / "sample_pairs" / "agreement.jsonl").write_text("{}")
    assert pairs_folder(tmp_path) == tmp_path / "sample_pairs"


def test_the_pairs_of_the_sample_come_before_other_json_lines(tmp_path):
    corpus = tmp_path / "corpus"  # sorted before the pairs of the sample
    corpus.mkdir()
    (corpus / "text.jsonl").write_text("{}")
    written = write_sample(tmp_path, target_bytes=1000)
    assert pairs_folder(tmp_path) == written.pairs
