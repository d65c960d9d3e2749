import json

import pytest

from cli.demo import Findings, accuracies_of


def test_a_model_that_learned_has_no_faults():
    findings = Findings(perplexities=[500.0, 100.0], accuracies={"agreement": 0.9})
    assert findings.faults() == []


@pytest.mark.parametrize(
    ("findings", "said"),
    [
        (Findings(perplexities=[500.0]), "fewer than two"),
        (Findings(perplexities=[500.0, 101.0], accuracies={"a": 1.0}), "not a factor of 5"),
        (Findings(perplexities=[500.0, 90.0], accuracies={"a": 0.89}), "a: 89.0%"),
        (Findings(perplexities=[500.0, 90.0]), "no minimal pair"),
    ],
)
def test_what_was_not_learned_is_said(findings, said):
    assert said in findings.faults()[0]


@pytest.mark.parametrize(
    "answer",
    [
        {"agreement": 0.95, "gender": 1.0},
        {"accuracies": {"agreement": 0.95, "gender": 1}},
        {"phenomena": {"agreement": {"accuracy": 0.95, "pairs": 200}, "gender": {"accuracy": 1.0}}},
    ],
)
def test_accuracies_are_read_by_phenomenon(answer):
    assert accuracies_of(json.dumps(answer)) == {"agreement": 0.95, "gender": 1.0}
