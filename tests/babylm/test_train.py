import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from babylm.errors import CommandError, UsageError
from babylm.train import resolve_spec, train_here
from core.sample import SAMPLE, SAMPLE_DEV
from core.storage.rundir import RunDir, locked
from tests.babylm.conftest import error_of

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from core.events.types import ErrorData, ProgressData, StageData, WarningData
from core.events.journal import JournalWriter
from core.process.stop import StopSignal
stop = StopSignal(); stop.on_signals(); stop.watch_supervisor()
folder = Path(sys.argv[1])
with JournalWriter(folder / "events.jsonl") as journal:
    journal.append(StageData(stage="train", state="started"))
    journal.append(ProgressData(stage="train", progress=0.5, stage_progress=0.5))
    {act}
"""
FINISH = "journal.append(StageData(stage='train', state='finished', seconds=2.0))"
FAIL = "journal.append(ErrorData(code='c', message='m', hint='h')); sys.exit(70)"
WAIT = "Path(folder / 'up').touch()\n    while not stop(): time.sleep(0.01)\n    sys.exit(75)"
SPEC = {"preset": "sample"}
OTHER = {"preset": "sample", "training": {"seed": 1}}


def train(
    tmp_path: Path, act: str, *, body: dict = SPEC, has_sample: bool = True, **more: bool
) -> Path:
    for name in (SAMPLE, SAMPLE_DEV) if has_sample else ():
        (tmp_path / name).mkdir(exist_ok=True)
    output = tmp_path / "run"
    code = CHILD.format(root=str(ROOT), act=act)
    train_here(
        body,
        output,
        data_dir=tmp_path,
        cache_dir=tmp_path / "cache",
        program=[sys.executable, "-c", code],
        **more,
    )
    return output


def test_the_folder_holds_the_resolved_spec_and_the_journal_is_shown(tmp_path, capsys):
    output = train(tmp_path, FINISH)
    spec = json.loads((output / "spec.json").read_text())
    assert spec["model"]["num_key_value_heads"] is not None
    shown = capsys.readouterr().out
    assert "train: took 0:02" in shown
    assert " 50%  train" in shown


def test_the_sample_corpus_is_written_if_the_run_uses_it(tmp_path, capsys):
    own = {"preset": "sample", "data": {"dataset": "own", "validation": None}}
    train(tmp_path / "other", FINISH, body=own, has_sample=False)
    assert not (tmp_path / "other" / "sample").exists()
    missing = {"preset": "sample", "data": {"dataset": "nope"}}
    train(tmp_path / "third", FINISH, body=missing, has_sample=False)
    assert [path.name for path in (tmp_path / "third").iterdir()] == ["run"]
    train(tmp_path, FINISH, has_sample=False)
    assert list((tmp_path / "sample").iterdir())
    assert list((tmp_path / "sample_dev").iterdir())
    assert "wrote the sample corpus" in capsys.readouterr().err
    train(tmp_path, FINISH, has_sample=False)
    assert "wrote" not in capsys.readouterr().err


def test_events_are_json_lines_and_a_second_call_shows_only_what_is_new(tmp_path, capsys):
    for _ in range(2):
        train(tmp_path, FINISH, as_json=True)
        lines = capsys.readouterr().out.splitlines()
        assert [json.loads(line)["type"] for line in lines] == ["stage", "progress", "stage"]


def test_a_continued_run_is_announced_with_its_newest_step(tmp_path, capsys):
    output = train(tmp_path, FINISH)
    assert "continuing" not in capsys.readouterr().err
    train(tmp_path, FINISH)
    assert f"continuing the run in {output}\n" in capsys.readouterr().err
    for name in ("step-000025", "step-000100", "step-000200.tmp"):
        (output / "resume" / name).mkdir(parents=True)
    train(tmp_path, FINISH)
    assert f"continuing the run in {output} from step 100\n" in capsys.readouterr().err
    train(tmp_path, FINISH, is_resumable=False)
    assert "continuing" not in capsys.readouterr().err


def test_a_failed_run_says_why(tmp_path):
    with pytest.raises(CommandError) as raised:
        train(tmp_path, FAIL)
    assert raised.value.message == "the run failed: m (c)"
    assert (raised.value.hint, raised.value.status) == ("h", 1)


@pytest.mark.parametrize(
    ("status", "said"), [(76, "another process"), (1, "with status 1"), (75, "interrupted")]
)
def test_other_ends_have_their_own_messages(tmp_path, status, said):
    with pytest.raises(CommandError, match=said):
        train(tmp_path, f"sys.exit({status})")


def test_a_folder_of_another_run_is_not_touched(tmp_path):
    output = train(tmp_path, FINISH)
    before = (output / "spec.json").read_bytes()
    with pytest.raises(CommandError, match="another spec") as raised:
        train(tmp_path, FINISH, body=OTHER)
    assert raised.value.status == 2
    assert (output / "spec.json").read_bytes() == before


def test_a_folder_with_files_but_no_run_is_refused(tmp_path):
    output = tmp_path / "run"
    output.mkdir()
    (output / "index.md").write_text("text")
    with pytest.raises(UsageError, match="run is not empty and contains no run") as raised:
        train(tmp_path, FINISH)
    assert "Name a new folder" in raised.value.hint
    assert [path.name for path in output.iterdir()] == ["index.md"]


@pytest.mark.parametrize("leftover", [None, "spec.json.tmp"])
def test_an_empty_folder_and_one_with_only_temporary_files_are_accepted(tmp_path, leftover):
    (tmp_path / "run").mkdir()
    if leftover is not None:
        (tmp_path / "run" / leftover).write_text("{")
    assert (train(tmp_path, FINISH) / "spec.json").exists()


def test_a_file_as_the_output_is_refused(tmp_path):
    (tmp_path / "run").write_text("text")
    with pytest.raises(UsageError, match="run is not a folder") as raised:
        train(tmp_path, FINISH)
    assert "Name a new folder" in raised.value.hint


def test_a_folder_below_a_file_is_refused_without_an_error_number(run, tmp_path):
    (tmp_path / "README.md").write_text("text")
    for command in ("train", "lr-find"):
        error = error_of(run(command, "--preset", "sample", "-o", "README.md/a/b"))
        assert (error.status, error.message) == (
            2,
            "README.md is a file, so README.md/a/b cannot be a folder",
        )
        assert "Name a new folder" in error.hint
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_a_damaged_spec_in_the_folder_is_named(tmp_path):
    output = train(tmp_path, FINISH)
    (output / "spec.json").write_text("{")
    with pytest.raises(UsageError, match=r"spec\.json is damaged: it contains no JSON"):
        train(tmp_path, FINISH)


def test_a_run_in_which_another_process_works_is_refused_first(tmp_path, capsys):
    folder = RunDir(train(tmp_path, FINISH))
    capsys.readouterr()
    for body in (SPEC, OTHER):
        with locked(folder), pytest.raises(CommandError, match="another process is at work in"):
            train(tmp_path, FINISH, body=body)
        shown = capsys.readouterr()
        assert (shown.out, shown.err) == ("", "")


@pytest.mark.parametrize("command", ["train", "lr-find"])
def test_a_data_folder_that_does_not_exist_is_refused(run, tmp_path, command):
    # The spec is not valid either, so that nothing is trained if the folder is not checked first.
    words = (command, "--set", "training.epochs=-1", "-o", "out", "--data-dir")
    error = error_of(run(*words, "nowhere"))
    assert (error.status, error.message) == (2, "--data-dir nowhere does not exist")
    (tmp_path / "file").write_text("text")
    assert error_of(run(*words, "file")).message == "--data-dir file is not a folder"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_run_keeps_the_default_with_which_it_began(tmp_path):
    output = train(tmp_path, FINISH)
    spec = json.loads((output / "spec.json").read_text())
    spec["model"]["max_position_embeddings"] = spec["training"]["seq_length"]
    (output / "spec.json").write_text(json.dumps(spec))
    train(tmp_path, FINISH)
    assert json.loads((output / "spec.json").read_text()) == spec
    given = {"preset": "sample", "model": {"max_position_embeddings": 4096}}
    with pytest.raises(CommandError, match="contains a run of another spec"):
        train(tmp_path, FINISH, body=given)


def test_a_corrected_spec_replaces_one_that_failed_at_once(tmp_path, capsys):
    with pytest.raises(CommandError, match="the run failed"):
        train(tmp_path, FAIL)
    output = train(tmp_path, FINISH, body=OTHER)
    assert json.loads((output / "spec.json").read_text())["training"]["seed"] == 1
    assert '"type":"error"' not in (output / "events.jsonl").read_text()
    assert "train: took 0:02" in capsys.readouterr().out


@pytest.mark.parametrize("kept", ["resume", "checkpoints"])
def test_the_checkpoints_of_a_failed_run_are_not_changed(tmp_path, kept):
    with pytest.raises(CommandError, match="the run failed"):
        train(tmp_path, f"(folder / '{kept}').mkdir(); {FAIL}")
    with pytest.raises(CommandError, match="another spec"):
        train(tmp_path, FINISH, body=OTHER)
    assert (tmp_path / "run" / kept).exists()


def test_a_failed_run_that_another_process_retries_is_not_touched(tmp_path):
    with pytest.raises(CommandError, match="the run failed"):
        train(tmp_path, FAIL)
    folder = RunDir(tmp_path / "run")
    with locked(folder), pytest.raises(CommandError, match="another process"):
        train(tmp_path, FINISH, body=OTHER)
    assert json.loads(folder.spec.read_text())["training"]["seed"] == 0


def test_a_spec_that_is_not_valid_names_its_fields():
    with pytest.raises(CommandError, match=r"training\.epochs") as raised:
        resolve_spec({"training": {"epochs": -1}})
    assert raised.value.details["errors"]


def test_an_error_suggests_a_field_for_a_mistyped_one():
    with pytest.raises(CommandError, match=r"training\.learning_rat: there is no") as raised:
        resolve_spec({"training": {"learning_rat": 1e-3}})
    assert "no such field; did you mean training.learning_rate? (" in str(raised.value)


CALLER = """
import signal
import sys
from pathlib import Path
# If a shell runs the tests in the background, their processes ignore SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)
from tests.babylm.test_train import WAIT, train
from babylm.errors import CommandError, UsageError
try:
    train(Path(sys.argv[1]), WAIT)
except CommandError as error:
    sys.stderr.write(error.message)
    sys.exit(error.status)
"""


@pytest.mark.system
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_child_stops_with_the_command(tmp_path, number):
    import psutil

    from tests.waiting import DEADLINE, is_alive, wait_for

    command = subprocess.Popen(
        [sys.executable, "-c", CALLER, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    wait_for((tmp_path / "run" / "up").exists, what="child up")
    children = psutil.Process(command.pid).children()
    command.send_signal(number)
    _, errors = command.communicate(timeout=DEADLINE)
    if number == signal.SIGINT:
        assert command.returncode == 130
        assert "checkpoint" in errors
        assert errors.endswith("interrupted")

    def gone() -> bool:
        return all(not is_alive(child) for child in children)

    wait_for(gone, what="child gone")
