"""The program of the short worker builds a submission, for which it collates the results.

A build that was killed can be repeated.
"""

import json
import random
import shutil
import signal
import subprocess

import pytest

from core.evaluation.registry import read_items, recognise, task_files
from core.evaluation.statistics import spearman
from core.export.submission.official import AOA, FAST, FINETUNED, FULL
from core.process.program import python_command
from core.short import RequestHandler
from tests.core.submission.conftest import MILESTONES
from tests.official_files import write_official_files

FAST_OF_FULL = {
    "blimp_fast": "blimp_filtered",
    "supplement_fast": "supplement_filtered",
    "ewok_fast": "ewok_filtered",
    "entity_tracking_fast": "entity_tracking",
}
KILLS = 3


@pytest.fixture
def data_dir(tmp_path):
    """A data folder with small versions of all official tasks."""
    tasks = tmp_path / "data" / "evaluations"
    write_official_files(tasks, items=6)
    for fast, full in FAST_OF_FULL.items():
        shutil.copytree(tasks / full, tasks / fast)
    for split in ("ambiref", "move_contents"):
        (tasks / "entity_tracking_fast" / f"{split}.jsonl").unlink()
    return tmp_path / "data"


def evaluate(handler, rundir, data_dir, checkpoint, task) -> dict:
    request = {
        "id": "0",
        "kind": "evaluate",
        "checkpoint_dir": str(rundir.checkpoint(checkpoint)),
        "task_dir": str(data_dir / "evaluations" / task),
        "predictions_file": str(rundir.predictions(checkpoint, task)),
        "slice_seconds": 60.0,
    }
    answer = handler.answer(json.dumps(request))
    assert "error" not in answer, answer
    return answer


def request_of(rundir, data_dir, *, number=1, seconds=60.0, state=None) -> str:
    return json.dumps(
        {
            "id": str(number),
            "kind": "submission",
            "run_dir": str(rundir.root),
            "data_dir": str(data_dir),
            "output_dir": str(rundir.submissions / str(number)),
            "repository": "user/small",
            "checkpoint": "last",
            "scores": {},
            "state": state,
            "slice_seconds": seconds,
        }
    )


def test_results_are_collated_once_nothing_is_missing(rundir, data_dir):
    handler = RequestHandler()
    scores = {}
    for name in MILESTONES:
        for task in FAST:
            answer = evaluate(handler, rundir, data_dir, name, task.name)
            scores[name, task.key] = {each["name"]: each["score"] for each in answer["paradigms"]}
        evaluate(handler, rundir, data_dir, name, AOA.name)
    for task in FULL:
        evaluate(handler, rundir, data_dir, "last", task.name)
    first = handler.answer(request_of(rundir, data_dir))
    missing = {(each["kind"], each["task"]) for each in first["missing"]}
    assert missing == {("finetuning", name) for name in FINETUNED}
    for name in FINETUNED:
        file = rundir.predictions("last", name)
        file.parent.mkdir(parents=True)
        predictions = {name: {"predictions": [{"id": f"{name}_0", "pred": 1}]}}
        file.write_text(json.dumps(predictions))
    report = handler.answer(request_of(rundir, data_dir, number=2))
    assert report["missing"] == []
    assert "rte of last: rte has 1 items; the official file has 139" in report["differences"]
    results = rundir.submissions / "2" / "results" / "small"
    collated = json.loads((results / "all_full_preds_and_fast_scores_causal.json").read_text())
    for task in FULL:
        placed = results / "main" / "zero_shot" / "causal" / task.path / "predictions.json"
        assert collated[task.key] == json.loads(placed.read_text())
    assert list(collated["glue"]) == list(FINETUNED)
    aoa = collated["aoa"]
    assert aoa == json.loads(
        (results / "main" / "zero_shot" / "causal" / "AoA_word" / "surprisal.json").read_text()
    )
    steps = {"total_steps": 19, "completed_steps": len(MILESTONES)}
    assert aoa["metadata"] == {"model_name": "user/small", "use_bos_only": False} | steps
    assert [*dict.fromkeys(entry["step"] for entry in aoa["results"])] == list(MILESTONES)
    assert aoa["results"][-1]["word_count"] == 2_000_000
    assert len({entry["surprisal"] for entry in aoa["results"]}) == len(aoa["results"])
    fast = collated["fast_eval_results"]
    for task in FAST[:-1]:
        # Collating computes scores from the predicted texts, as the official code does. The
        # evaluation computed the same scores from probabilities.
        assert fast[task.key] == [scores[name, task.key] for name in MILESTONES]
    reading = [scores[name, "reading"] for name in MILESTONES]
    assert [each["rt"] for each in fast["reading"]] == [each["eye_tracking"] for each in reading]
    spearman_of_adj(results, data_dir, fast)


def spearman_of_adj(results, data_dir, fast) -> None:
    """Computes one score from only the files that the submission contains."""
    task = data_dir / "evaluations" / "wug_adj_nominalization"
    kind = recognise(task)
    [file] = task_files(task)
    ratios = [item.human_ratio for item in read_items(kind, file)]
    path = "chck_1M/zero_shot/causal/wug_adj/wug_adj_nominalization/predictions.json"
    [entry] = json.loads((results / path).read_text()).values()
    expected = spearman([each["prob"] for each in entry["predictions"]], ratios)
    assert fast["wug_adj"][0] == {"wug_adj": pytest.approx(expected, abs=1e-12)}


@pytest.mark.long
def test_a_killed_build_leaves_nothing_and_a_repeated_one_everything(rundir, data_dir):
    expected = RequestHandler().answer(request_of(rundir, data_dir))
    shutil.copytree(rundir.submissions / "1", rundir.root / "expected", symlinks=True)
    request = request_of(rundir, data_dir, number=2)
    drawn = random.Random(5)
    for _ in range(KILLS):
        child = subprocess.Popen(
            python_command("core.short"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        # This request loads torch and the checkpoints, so the kill comes while files are written.
        child.stdin.write(request_of(rundir, data_dir, number=3, seconds=1e-9) + "\n")
        child.stdin.flush()
        assert "state" in child.stdout.readline()
        child.stdin.write(request + "\n")
        child.stdin.flush()
        subprocess.run(["sleep", str(drawn.uniform(0.0, 0.4))], check=True)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        for folder in rundir.submissions.iterdir():
            if not folder.name.endswith(".tmp"):
                check_whole(folder, rundir.root / "expected")
    assert RequestHandler().answer(request) == expected | {"id": "2"}
    check_whole(rundir.submissions / "2", rundir.root / "expected")


def check_whole(folder, expected) -> None:
    names = [
        sorted(path.relative_to(root) for path in root.rglob("*")) for root in (folder, expected)
    ]
    assert names[0] == names[1]
    for path in names[0]:
        if (expected / path).is_file():
            assert (folder / path).read_bytes() == (expected / path).read_bytes(), path
