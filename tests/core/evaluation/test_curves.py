import csv
import io
import json

import pytest

from core.evaluation.curves import (
    BASELINES,
    as_csv,
    as_markdown,
    learning_curves,
    saturation,
    standard_error,
)
from core.events.results import EvaluationResult, ParadigmScore


def result(*scores, pairs=1000, kind="minimal_pairs", metric="accuracy", names=None):
    paradigms = [
        ParadigmScore(
            name=names[number] if names else f"p{number}",
            phenomenon=None,
            pairs=pairs,
            score=score,
            strict_score=score,
        )
        for number, score in enumerate(scores)
    ]
    mean = sum(scores) / len(scores)
    return EvaluationResult(
        kind=kind,
        metric=metric,
        score=mean,
        strict_score=mean,
        pairs=pairs * len(scores),
        seconds=1.0,
        paradigms=paradigms,
    )


def curve_of(*scores, **options):
    evaluations = [
        ("blimp_filtered", f"chck_{number}M", number * 1_000_000, result(score, score, **options))
        for number, score in enumerate(scores, start=1)
    ]
    return learning_curves(reversed(evaluations), track="strict-small")


def test_points_are_ordered_by_words_and_each_paradigm_has_a_curve():
    whole, first, second = curve_of(0.5, 0.6, 0.7)
    assert [point.words_seen for point in whole.points] == [1_000_000, 2_000_000, 3_000_000]
    assert (whole.part, first.part, second.part) == ("score", "p0", "p1")


def test_a_curve_that_rises_is_not_saturated():
    [whole, *_] = curve_of(0.50, 0.55, 0.60, 0.65)
    assert whole.saturated_at is None
    assert "still rising at 4,000,000 words" in whole.verdict


def test_saturation_is_the_first_checkpoint_after_which_only_noise_was_gained():
    [whole, *_] = curve_of(0.50, 0.60, 0.70, 0.705, 0.69)
    assert whole.saturated_at == "chck_3M"
    assert "0.7000 there, at most 0.7050 later" in whole.verdict


def test_fewer_items_make_more_noise():
    [few, *_] = curve_of(0.50, 0.60, 0.70, 0.705, 0.69, pairs=20)
    assert few.saturated_at == "chck_1M"


def test_two_checkpoints_are_too_few_for_a_verdict():
    assert saturation(curve_of(0.5, 0.5)[0].points) == (None, "needs 3 checkpoints, has 2")


def test_the_error_of_a_mean_is_that_of_independent_paradigms():
    assert standard_error(result(0.5, 0.5, pairs=100)) == pytest.approx(0.05 / 2**0.5)


def test_the_last_checkpoint_takes_the_place_of_a_milestone_at_the_same_words():
    evaluations = [
        ("blimp", "chck_1M", 1_000_000, result(0.5)),
        ("blimp", "last", 1_000_000, result(0.6)),
        ("blimp", "chck_1M", 1_000_000, result(0.55)),
    ]
    [whole] = learning_curves(evaluations, track=None)
    assert [(point.checkpoint, point.score) for point in whole.points] == [("last", 0.6)]


def test_baselines_are_those_of_the_task_and_the_track():
    [whole, part, _] = curve_of(0.5, 0.6, 0.7)
    assert {line.model: line.score for line in whole.baselines}["GPT-2 2026"] == pytest.approx(
        0.6508
    )
    assert all(line.track == "strict-small" and "README" in line.source for line in whole.baselines)
    assert part.baselines == ()
    wug = result(0.3, kind="wug", metric="spearman", names=["wug_past"])
    [curve] = learning_curves([("wug_past_tense", "last", 1, wug)], track="strict")
    assert [line.score for line in curve.baselines] == [0.19]
    reading = result(
        0.01, 0.02, kind="reading", metric="r2_gain", names=["eye_tracking", "self_paced_reading"]
    )
    _, eye, _ = learning_curves([("reading", "last", 1, reading)], track="strict-small")
    assert sorted(line.score for line in eye.baselines) == pytest.approx([0.0013, 0.095, 0.0989])


def test_every_baseline_names_a_source_a_track_and_a_task():
    data = json.loads(BASELINES.read_text())
    tasks = {"blimp", "blimp_supplement", "ewok", "comps", "entity_tracking", "wug_adj", "wug_past"}
    tasks |= {"eye_tracking", "self_paced_reading"}
    for each in data["baselines"]:
        assert each["source"] in data["sources"]
        assert each["track"] in ("strict-small", "strict")
        assert each["scores"].keys() <= tasks


def test_curves_as_csv_and_markdown():
    curves = curve_of(0.50, 0.60, 0.70, 0.705)
    rows = list(csv.DictReader(io.StringIO(as_csv(curves))))
    assert len(rows) == 12
    assert rows[0]["checkpoint"] == "chck_1M"
    assert float(rows[3]["score"]) == 0.705
    text = as_markdown(curves)
    assert "## blimp_filtered (accuracy)" in text
    assert "| chck_3M | 3,000,000 | 0.7000 ± " in text
    assert "GPT-2 2026 (strict-small)" in text
    assert "No gain beyond noise after 3,000,000 words" in text
