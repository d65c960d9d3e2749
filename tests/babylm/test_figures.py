import pytest

from babylm.client.figures import OF_PART, TITLES, metric_title, metric_value, short_ids
from babylm.output import age
from core.events.metrics import CATALOGUE


def test_every_metric_of_the_catalogue_has_a_title_in_words():
    names = {metric.name for metric in CATALOGUE}
    of_parts = names - set(TITLES)
    assert {name.rpartition("/")[0] + "/" for name in of_parts} == set(OF_PART)
    assert all(name.rpartition("/")[2] in ("SOURCE", "TASK") for name in of_parts)
    title = metric_title("validation/bits_per_byte/simple_wiki")
    assert title == "bits per byte, simple wiki"
    assert metric_title("finetune/accuracy/boolq") == "fine-tuning accuracy, boolq"
    titles = [*TITLES.values(), *OF_PART.values()]
    assert not any("_" in title or "/" in title for title in titles)
    assert metric_title("evaluation/blimp_filtered") == "evaluation blimp filtered"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("train/loss", 5.66766, "5.6677"),
        ("train/learning_rate", 0.0006, "0.0006"),
        ("train/learning_rate", 0.0, "0"),
        ("validation/perplexity", 287.6582, "287.7"),
        ("throughput/tokens_per_second", 123456.7, "123,457"),
        ("throughput/mfu", 0.4567, "45.7%"),
        ("memory/host_rss_bytes", 413462528.0, "394 MiB"),
        ("device/power_watts", 301.2, "301 W"),
        ("evaluation/blimp", 0.7512, "75.1%"),
        ("evaluation/wug_past_tense", -0.25, "-25.0%"),
        ("evaluation/cdi_childes", -10.7068, "-10.71"),
        ("evaluation_ema/blimp", 0.7512, "75.1%"),
        ("finetune/accuracy/boolq", 0.654, "65.4%"),
        ("finetune/f1/mrpc", 0.8123, "81.2%"),
        ("finetune/mcc/cola", 0.1234, "0.1234"),
    ],
)
def test_values_have_units_and_as_many_digits_as_are_read(name, value, shown):
    assert metric_value(name, value) == shown


def test_ids_are_as_short_as_they_are_unique():
    assert short_ids(["abcd1", "abcd2", "ffff0"]) == {
        "abcd1": "abcd1",
        "abcd2": "abcd2",
        "ffff0": "ffff",
    }
    assert short_ids([]) == {}
    assert short_ids(["job-1"]) == {"job-1": "job-"}


def test_ages_are_in_the_unit_that_one_would_say():
    from datetime import UTC, datetime, timedelta

    def ago(**span: int) -> str:
        return age((datetime.now(UTC) - timedelta(**span)).isoformat())

    assert ago(minutes=1) == "60 s ago"
    assert ago(minutes=5) == "5 min ago"
    assert ago(hours=30) == "30 h ago"
    assert ago(days=9) == "9 d ago"
