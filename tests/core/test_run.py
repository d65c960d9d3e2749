"""The program of a run: its exit statuses, and its checks before the start."""

import signal
import subprocess

from core.errors import ExitCode
from core.events.journal import JournalWriter, read_journal
from core.events.types import WarningData
from core.process.program import python_command
from core.process.stop import StopSignal
from core.run import warn_of_low_disk
from core.sample import write_sample
from core.spec.job import JobSpec
from core.stages.context import Run
from core.storage.cache import Cache
from core.storage.rundir import RunDir

SPEC = JobSpec.model_validate({"preset": "sample"}).resolve()


def warnings_before(folder, spec: JobSpec) -> list[str]:
    rundir = RunDir(folder)
    with JournalWriter(rundir.journal) as journal:
        run = Run(spec, rundir, folder / "data", Cache(folder / "cache"), journal, StopSignal())
        warn_of_low_disk(run)
    return [
        event.payload().code
        for event, _ in read_journal(rundir.journal)
        if isinstance(event.payload(), WarningData)
    ]


def test_a_disk_too_small_for_the_checkpoints_is_reported_before_the_run_begins(tmp_path):
    assert warnings_before(tmp_path, SPEC) == []
    large = SPEC.model_dump(mode="json")
    large["model"] |= {"hidden_size": 8192, "num_hidden_layers": 64, "intermediate_size": 32_768}
    large["training"]["save_total_limit"] = 10_000
    assert warnings_before(tmp_path, JobSpec.model_validate(large)) == ["disk_low"]
    (tmp_path / "alone").mkdir()
    alone = JobSpec.model_validate(large | {"task": "tokenizer"})
    assert warnings_before(tmp_path / "alone", alone) == []


def test_a_spec_that_cannot_be_read_fails_by_name(tmp_path):
    command = python_command("core.run", str(tmp_path))
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == ExitCode.FAILED
    (event, _), *_ = read_journal(tmp_path / "events.jsonl")
    assert event.data["code"] == "spec_invalid"


def test_a_stop_while_torch_is_loading_ends_the_run_at_once(tmp_path):
    """The run is in a separate process, because the test stops that process."""
    write_sample(tmp_path / "data", target_bytes=60_000)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "spec.json").write_text(SPEC.model_dump_json())
    command = python_command("core.run", str(folder))
    command += ["--data-dir", str(tmp_path / "data"), "--cache-dir", str(tmp_path / "cache")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for line in process.stdout:
            if b"stage tokenize took" in line:
                break
        process.send_signal(signal.SIGTERM)
        said = process.stdout.read()
    assert process.returncode == ExitCode.STOPPED
    assert b"Traceback" not in said
    assert list((folder / "checkpoints").glob("*")) == []
