"""The search for a learning rate: its steps, its suggestion, its files, and the command."""

import csv
import io
import json
import subprocess
from itertools import pairwise
from math import exp, log
from pathlib import Path
from xml.etree import ElementTree

import pytest

from core.errors import Stopped
from core.process.program import python_command
from core.sample import write_sample
from core.training.learning_rate.search import search
from core.training.learning_rate.summary import Found, Point, as_csv, as_json, as_svg, summarize

ROOT = Path(__file__).parents[3]


def curve(*, steepest_at: float) -> list[Point]:
    """A loss that falls from 9 to 4 around the given rate, and rises from the rate 0.1 on."""
    rates = [1e-5 * 10 ** (number / 10) for number in range(51)]
    losses = [
        9.0 - 5.0 / (1.0 + (steepest_at / rate) ** 2) + 4.0 * max(0.0, log(rate / 0.1))
        for rate in rates
    ]
    pairs = zip(rates, losses, strict=True)
    return [Point(number, rate, loss, loss) for number, (rate, loss) in enumerate(pairs, 1)]


@pytest.mark.parametrize("rate", [1e-4, 1e-3, 1e-2])
def test_the_suggestion_is_the_rate_at_which_the_loss_falls_fastest(rate):
    found = summarize(curve(steepest_at=rate))
    assert found.suggested == pytest.approx(rate)
    assert found.lowest_at == pytest.approx(1e-1, rel=0.3)


def test_a_search_that_ends_at_once_suggests_nothing():
    assert summarize([]) == summarize(curve(steepest_at=1e-3)[:2]) == Found(None, None)
    ElementTree.fromstring(as_svg(summarize([]), []))


def test_the_files_hold_every_step():
    points = curve(steepest_at=1e-3)
    found = summarize(points)
    rows = list(csv.DictReader(io.StringIO(as_csv(points))))
    assert [float(row["learning_rate"]) for row in rows] == [each.learning_rate for each in points]
    body = json.loads(as_json(found, points))
    assert body["suggested"] == found.suggested
    assert len(body["points"]) == len(points)
    chart = ElementTree.fromstring(as_svg(found, points))
    (line,) = chart.iter("{http://www.w3.org/2000/svg}polyline")
    assert len(line.attrib["points"].split()) == len(points)
    texts = [text.text for text in chart.iter("{http://www.w3.org/2000/svg}text")]
    assert {"1e-5", "1e-3", "1e0", "suggested 0.001"} <= set(texts)


def sweep(run, **options) -> list[Point]:
    defaults = {
        "lowest": 1e-4,
        "highest": 1e2,
        "steps": 30,
        "should_stop": lambda: False,
        "emit": run.events.append,
        "warn": lambda *_: None,
        "progress": lambda _: None,
    }
    return search(run.spec, run.train, **defaults | options)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_rates_rise_by_one_factor_and_the_first_loss_is_that_of_the_run(tiny_run, optimizer):
    run = tiny_run(optimizer=optimizer, max_steps=1, warmup_steps=0)
    points = sweep(run)
    factors = [after.learning_rate / before.learning_rate for before, after in pairwise(points)]
    assert factors == pytest.approx([exp(log(1e6) / 29)] * len(factors))
    assert points[0].smoothed_loss == pytest.approx(points[0].loss)
    assert min(point.smoothed_loss for point in points) < points[0].loss - 0.5
    searched = run.values("train/loss")
    run.go()
    assert run.values("train/loss")[1] == searched[1]


def test_the_search_ends_when_the_loss_rises_or_is_not_finite(tiny_run):
    run = tiny_run(max_grad_norm=None)
    points = sweep(run, highest=1e6, steps=40)
    assert len(points) < 40
    assert all(point.loss < float("inf") for point in points)


def test_a_stop_ends_the_search(tiny_run):
    with pytest.raises(Stopped):
        sweep(tiny_run(), should_stop=lambda: True)


@pytest.mark.system
def test_the_command_writes_table_and_chart_and_prints_the_suggestion(tmp_path):
    write_sample(tmp_path / "data", target_bytes=40_000)
    command = python_command("babylm.main", "lr-find", "--preset", "sample", "--steps", "12")
    command += ["--set", "model.hidden_size=16", "--set", "model.num_hidden_layers=1"]
    command += ["--set", "training.num_threads=1", "-o", str(tmp_path / "out")]
    command += ["--data-dir", str(tmp_path / "data"), "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "suggested: training.learning_rate=" in done.stdout
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"lr-find.csv", "lr-find.json", "lr-find.svg"} <= names
    assert not {"checkpoints", "resume"} & names
    refused = subprocess.run(
        [*command, "--lowest", "2"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert "below --highest 1" in refused.stderr
