"""The recipe study: its table, its figures, its continuation, and the script for a GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.recipe import distillation
from benchmarks.recipe.__main__ import main
from benchmarks.recipe.conditions import ARCHITECTURES, CONDITIONS, SHAPES, Entry
from benchmarks.recipe.leaderboard import CHOSEN, curves, leaderboard, phenomena, replace_block
from benchmarks.recipe.summary import source_summary, summary, words_to_reach
from benchmarks.recipe.text import prepare_text
from core.spec.job import JobSpec
from tests.core.training.conftest import write_text

ROOT = Path(__file__).parents[2]


@pytest.fixture
def text(tmp_path):
    files = (("train_10M", "plain.train", 60), ("dev", "plain.dev", 6), ("dev", "more.dev", 5))
    for folder, name, documents in files:
        (tmp_path / "text" / folder).mkdir(parents=True, exist_ok=True)
        write_text(tmp_path / "text" / folder / name, documents=documents)
    return tmp_path / "text"


def run_study(text, tmp_path, *more: str) -> list[dict]:
    options = ["--text", str(text), "--work", str(tmp_path / "work"), "--shape", "tiny"]
    results = tmp_path / "results.jsonl"
    assert main([*options, "--results", str(results), *more]) == 0
    return [json.loads(line) for line in results.read_text().splitlines()]


def write_pairs(tmp_path):
    fields = {"field": "syntax", "linguistics_term": "agreement", "UID": "number"}
    lines = [
        fields | {"sentence_good": f"The {noun}s run.", "sentence_bad": f"The {noun}s runs."}
        for noun in ("dog", "cat", "cow", "bird")
    ]
    (tmp_path / "blimp").mkdir()
    (tmp_path / "blimp" / "number.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path / "blimp"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_run_of_the_table_is_a_valid_job(shape, architecture):
    sizes = set()
    for condition in CONDITIONS:
        spec = JobSpec.model_validate(Entry(SHAPES[shape], architecture, condition, 1).spec())
        assert spec.training.seed == 1
        vocab_size = spec.tokenizer.vocab_size
        assert vocab_size % 128 == 0 or shape == "tiny"
        sizes.add((spec.model.num_parameters(vocab_size=vocab_size), spec.training.epochs))
    assert len(sizes) == 1, "conditions are compared at equal parameters and equal words"


def test_the_baseline_has_upstreams_settings():
    training = JobSpec.model_validate(Entry(SHAPES["cpu"], "olmo2", "baseline", 0).spec()).training
    default = JobSpec().training
    for name in ("optimizer", "learning_rate", "schedule", "weight_decay", "adam_beta2"):
        assert getattr(training, name) == getattr(default, name)


@pytest.mark.long
def test_a_finished_run_is_one_line_and_is_not_run_again(text, tmp_path):
    options = ("--seeds", "0", "--conditions", "baseline", "muon-ema")
    first = run_study(text, tmp_path, *options)
    assert [run["condition"] for run in first] == ["baseline", "muon-ema"]
    assert first[0]["ema_bits_per_byte"] is None
    assert first[1]["ema_bits_per_byte"] > 0
    assert first[0]["device"].startswith(("CPU, 1 thread", "NVIDIA"))
    assert first[0]["words_seen"] == first[1]["words_seen"] > 0
    assert run_study(text, tmp_path, *options) == first
    scored = run_study(text, tmp_path, *options, "--pairs", str(write_pairs(tmp_path)))
    assert [run["blimp_pairs"] for run in scored] == [4, 4]
    assert all(set(run["blimp_by_phenomenon"]) == {"agreement"} for run in scored)
    added = {"blimp", "blimp_pairs", "blimp_by_phenomenon"}
    assert [{name: run[name] for name in run.keys() - added} for run in scored] == first
    sources = first[0]["bits_per_byte_by_source"]
    assert set(sources) == {"plain", "more"}
    assert min(sources.values()) < first[0]["bits_per_byte"] < max(sources.values())
    assert f"| baseline | 1 | {sources['more']:.4f} | {sources['plain']:.4f} |" in source_summary(
        first
    )
    assert source_summary([{}]) == ""
    table = summary(first)
    assert "| tiny | olmo2 | muon-ema | 1 |" in table
    assert "| +0.0 % |" in table  # the baseline against itself


def test_without_budget_nothing_is_run(text, tmp_path, capsys):
    options = ["--text", str(text), "--work", str(tmp_path / "work"), "--shape", "tiny"]
    results = tmp_path / "results.jsonl"
    options += ["--results", str(results), "--budget-seconds", "0", "--conditions", "baseline"]
    assert main(options) == 0
    assert not results.exists()
    assert "3 runs are left" in capsys.readouterr().err


def test_without_text_the_study_is_skipped_by_name(tmp_path, capsys):
    assert main(["--text", str(tmp_path / "none"), "--results", str(tmp_path / "r.jsonl")]) == 0
    assert "recipe: skipped" in capsys.readouterr().err


def test_a_slice_takes_whole_lines_from_every_file_in_proportion(tmp_path):
    for folder in ("train_10M", "dev"):
        (tmp_path / "text" / folder).mkdir(parents=True)
    (tmp_path / "text" / "train_10M" / "a.train").write_text("one two\n" * 100)
    (tmp_path / "text" / "train_10M" / "b.train").write_text("one\n" * 40)
    (tmp_path / "text" / "dev" / "a.dev").write_text("one two\n" * 10)
    data = prepare_text(tmp_path / "text", tmp_path / "work", words=60)
    assert (data / "train" / "a.train").read_text() == "one two\n" * 25
    assert (data / "train" / "b.train").read_text() == "one\n" * 10
    assert (data / "dev" / "a.dev").read_text() == "one two\n" * 10


def test_the_leaderboard_shows_pairs_and_what_was_not_measured():
    run = {
        **{"shape": "cpu", "architecture": "olmo2", "condition": "baseline", "seed": 0},
        **{"parameters": 1_000_000, "words_seen": 2_000_000, "train_seconds": 60.0},
        **{"bits_per_byte": 2.0, "ema_bits_per_byte": None, "finished_at": "2026-01-02T03:04:05Z"},
        **{"curve": [[0, 9.0, 4.0], [100, 8.0, 2.0]], "settings": {"num_threads": 1}},
    }
    chosen = run | {"condition": CHOSEN, "bits_per_byte": 1.5}
    later = chosen | {"seed": 1, "bits_per_byte": 1.7, "blimp": 65.04, "commit": "abc1234"}
    later |= {"finished_at": "2026-01-03T00:00:00Z", "device": "NVIDIA H100"}
    alone = run | {"architecture": "llama4"}
    lines = leaderboard([run, chosen, alone, later, run | {"condition": "adamw"}]).splitlines()[2:]
    assert lines == [
        f"| OLMo 2, `cpu` | `{CHOSEN}` | 2 | 1.00M | 2.0M | 1.0 | NVIDIA H100 | 1.6000 ± 0.1414 "
        "| 65.0 | 2026-01-03 | abc1234 |",
        "| OLMo 2, `cpu` | upstream's | 1 | 1.00M | 2.0M | 1.0 | CPU, 1 thread | 2.0000 "
        "| not measured | 2026-01-02 | not recorded |",
    ]
    assert curves([run, chosen]).splitlines()[2:] == [
        "| 0 | 4.000 | 4.000 |",
        "| 100 | 2.000 | 2.000 |",
    ]
    scored = {"blimp": 60.0, "blimp_by_phenomenon": {"control_raising": 55.0}}
    better = {"blimp": 70.0, "blimp_by_phenomenon": {"control_raising": 54.0}}
    assert phenomena([run, chosen]).count("\n") == 1
    assert phenomena([run | scored, chosen | better]).splitlines()[2:] == [
        "| all paradigms | 60.0 | 70.0 | +10.0 |",
        "| control raising | 55.0 | 54.0 | -1.0 |",
    ]
    page = "a\n<!-- x -->\nold\n<!-- end of x -->\nb\n"
    assert replace_block(page, "x", "new") == "a\n<!-- x -->\n\nnew\n\n<!-- end of x -->\nb\n"
    with pytest.raises(ValueError, match="no block"):
        replace_block(page, "y", "new")


def test_words_to_a_loss_are_read_between_validations():
    run = {"curve": [[0, 9.0, 4.0], [100, 8.0, 3.0], [200, 7.0, 2.0]], "ema_curve": []}
    assert words_to_reach(run, 2.5) == 150
    assert words_to_reach(run, 1.0) is None


@pytest.mark.long
def test_a_student_is_compared_at_the_words_of_the_study(text, tmp_path):
    run_study(text, tmp_path, "--seeds", "0", "--conditions", CHOSEN)
    results = tmp_path / "distillation.jsonl"
    options = ["--work", str(tmp_path / "work"), "--results", str(results), "--shape", "tiny"]
    epochs = ["--teacher-epochs", "1", "--epochs", "2", "--teachers", "2"]
    assert distillation.main([*options, *epochs]) == 0
    [line] = [json.loads(each) for each in results.read_text().splitlines()]
    assert (line["seed"], line["teachers"], line["epochs"]) == (0, 2, 2.0)
    assert line["bits_per_byte"] > 0


def test_the_script_for_a_gpu_runs_on_a_cpu_with_tiny_shapes(text, tmp_path):
    """Two calls: the second does not repeat the finished runs."""
    environment = os.environ | {
        "OUT": str(tmp_path / "out"),
        "TEXT": str(text),
        "SHAPE": "tiny",
        "ARCHITECTURES": "olmo2",
        "PYTHON": sys.executable,
    }
    command = ["sh", "benchmarks/gpu.sh"]
    for _ in range(2):
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
        assert {json.loads(line)["condition"] for line in lines} == {"baseline", "final"}
        assert len(lines) == 2
        assert "| tiny | olmo2 | final | 1 |" in done.stdout
    assert "started" not in done.stderr
