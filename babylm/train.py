"""Runs the pipeline without a service, in a folder that the user names."""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from babylm.client.folders import file_in_path
from babylm.client.wire import Body, Event
from babylm.display import Display, display_for_output
from babylm.errors import INTERRUPTED, CommandError, Terminated, UsageError
from babylm.output import print_json_line, print_note
from core.errors import ExitCode, RunLocked
from core.events.journal import read_journal
from core.process.program import python_command
from core.process.stop import FULL
from core.process.threads import thread_environment
from core.storage.rundir import STAGING_SUFFIX, RunDir, locked, publish_file

if TYPE_CHECKING:
    from core.spec.job import JobSpec

POLL_SECONDS = 0.2
HEARTBEAT_SECONDS = 1.0
"""Seconds between two bytes to the child. After ten seconds without a byte the child stops, so it
does not outlive this command."""


def resolve_spec(body: Body, *, begun: "JobSpec | None" = None) -> "JobSpec":
    """The complete spec, with all defaults filled in.

    Args:
        body: The spec that the user gave.
        begun: The spec of the run to continue; see `JobSpec.resolve`.

    Raises:
        UsageError: If the spec is not valid; the message names every wrong field.
    """
    from pydantic import ValidationError

    from core.errors import SpecInvalid
    from core.spec.faults import explain
    from core.spec.job import JobSpec
    from core.spec.machines import require_possible

    try:
        spec = JobSpec.model_validate(body).resolve(begun=begun)
        require_possible(spec)
        return spec
    except SpecInvalid as error:
        raise UsageError(error.message, hint=error.hint) from error
    except ValidationError as error:
        explained = [explain(item) for item in error.errors()]
        problems = [{"field": field, "message": message} for field, message in explained]
        lines = [f"  {problem['field']}: {problem['message']}" for problem in problems]
        raise UsageError(
            "\n".join(["the spec is not valid", *lines]), details={"errors": problems}
        ) from error


def train_here(
    body: Body,
    output: Path,
    *,
    data_dir: Path,
    cache_dir: Path,
    as_json: bool = False,
    program: Sequence[str] | None = None,
    is_resumable: bool = True,
) -> None:
    """Trains into the folder `output`; a repeated call continues an interrupted run.

    Args:
        body: The spec.
        output: The folder of the run.
        data_dir: The folder of the datasets.
        cache_dir: The folder of cached results.
        as_json: Prints each event as a line of JSON.
        program: The command of the child; None: the training process.
        is_resumable: Whether the child can continue an existing run; a note says that it does.

    Raises:
        CommandError: If the run failed or was interrupted.
    """
    rundir = RunDir(output)
    _write_spec(rundir, body)
    _write_sample(rundir, data_dir)
    seen = rundir.journal.stat().st_size if rundir.journal.exists() else 0
    if seen and is_resumable:
        print_note(_continuation(rundir))
    command = [*(program or python_command("core.run")), str(output), "--supervised"]
    command += ["--data-dir", str(data_dir), "--cache-dir", str(cache_dir)]
    with rundir.log.open("ab") as log:
        # In its own session, so that Ctrl-C reaches only this command, which then stops the child.
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=os.environ | thread_environment(os.environ),
            start_new_session=True,
            bufsize=0,
        )
    watch = _Watch(child, rundir, seen, as_json=as_json)
    _judge(watch.until_end(), watch, rundir)


def _continuation(rundir: RunDir) -> str:
    """Says that an existing run continues, and from which step if it has a resume point."""
    newest = next(iter(rundir.resume_points()), None)
    where = "" if newest is None else f" from step {newest}"
    return f"continuing the run in {rundir.root}{where}"


class _Watch:
    """Shows a child's journal until the child has ended."""

    def __init__(
        self, child: subprocess.Popen[bytes], rundir: RunDir, offset: int, *, as_json: bool
    ) -> None:
        self.interrupted = False
        self.error: Body | None = None
        self._child = child
        self._rundir = rundir
        self._offset = offset
        self._beat_at = float("-inf")
        self._display: Display | None = None if as_json else display_for_output()

    def until_end(self) -> int:
        """Waits until the child has ended; returns its exit status."""
        try:
            with self._display or contextlib.nullcontext():
                return self._loop()
        finally:
            if self._child.stdin is not None:
                self._child.stdin.close()  # the child stops at end of file

    def _loop(self) -> int:
        while True:
            try:
                status = self._child.poll()
                self._drain()
                if status is not None:
                    return status
                self._beat()
                time.sleep(POLL_SECONDS)
            except (KeyboardInterrupt, Terminated):
                self._interrupt()

    def _interrupt(self) -> None:
        if self.interrupted:
            self._child.kill()
            return
        self.interrupted = True
        self._child.terminate()
        print_note("stopping at the next step, with a checkpoint; Ctrl-C again kills the run")

    def _beat(self) -> None:
        if time.monotonic() - self._beat_at < HEARTBEAT_SECONDS or self._child.stdin is None:
            return
        self._beat_at = time.monotonic()
        with contextlib.suppress(BrokenPipeError):  # the child is ending; poll() returns its status
            self._child.stdin.write(bytes([FULL]))

    def _drain(self) -> None:
        while events := read_journal(self._rundir.journal, offset=self._offset):
            for entry, self._offset in events:
                event = cast(Event, entry.model_dump(mode="json"))
                if event["type"] == "error":
                    self.error = event["data"]
                if self._display is None:
                    print_json_line(event)
                else:
                    self._display.show(event)


def _write_spec(rundir: RunDir, body: Body) -> None:
    content = resolve_spec(body).model_dump_json(indent=2).encode()
    try:
        _require_run_folder(rundir)
        if rundir.lock.exists():
            with locked(rundir):  # refuses here what the child would refuse later
                pass
        rundir.root.mkdir(parents=True, exist_ok=True)
        if not rundir.spec.exists():
            publish_file(rundir.spec, content)
            return
        if _is_spec_of(rundir.spec.read_bytes(), body, content):
            return
        if _failed_at_once(rundir):
            _replace_spec(rundir, content)
            return
    except RunLocked as error:
        raise _busy(rundir) from error
    except OSError as error:
        raise UsageError(f"{rundir.root} cannot be used: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(
            f"{rundir.spec} is damaged: it contains no JSON",
            hint="Restore the file, or name a new folder: --output my-run",
        ) from error
    raise UsageError(
        f"{rundir.root} contains a run of another spec",
        hint="Choose another --output, or train the spec.json in this folder to continue the run.",
    )


def _busy(rundir: RunDir) -> CommandError:
    return CommandError(
        f"another process is at work in {rundir.root}",
        hint="Wait until it has ended, or choose another --output.",
    )


def _require_run_folder(rundir: RunDir) -> None:
    """Refuses a file, and a folder that contains files but no run.

    An earlier call that was killed at its start may have left only temporary files.
    """
    root = rundir.root
    if (file := file_in_path(root)) is not None:
        fault = "is not a folder" if file == root else f"is a file, so {root} cannot be a folder"
        raise UsageError(f"{file} {fault}", hint="Name a new folder: --output my-run")
    if not root.exists() or rundir.spec.exists() or rundir.journal.exists():
        return
    if any(not path.name.endswith(STAGING_SUFFIX) for path in root.iterdir()):
        raise UsageError(
            f"{root} is not empty and contains no run",
            hint=f"Name a new folder: --output {root / 'my-run'}",
        )


def _write_sample(rundir: RunDir, data_dir: Path) -> None:
    """Writes the sample corpus, as `babylm serve` does, if the run lacks only this corpus.

    If another dataset is missing, the run fails and names it, and nothing is written.
    """
    from core.sample import SAMPLE, SAMPLE_DEV, write_sample

    data = json.loads(rundir.spec.read_bytes())["data"]
    used = [name for name in (data["dataset"], data["validation"]) if name is not None]
    missing = {name for name in used if not (data_dir / name).is_dir()}
    if not missing or missing - {SAMPLE, SAMPLE_DEV}:
        return
    with contextlib.suppress(OSError):  # the run then fails and names the missing folder
        write_sample(data_dir)
        print_note(f"wrote the sample corpus into {data_dir}")


def _is_spec_of(stored: bytes, body: Body, content: bytes) -> bool:
    """Whether a run began with this spec, even if a default has changed since then."""
    from pydantic import ValidationError

    from core.spec.stored import read_stored_spec

    if json.loads(stored) == json.loads(content):
        return True
    try:
        begun = read_stored_spec(stored)
    except ValidationError:
        return False
    return resolve_spec(body, begun=begun) == begun


def _failed_at_once(rundir: RunDir) -> bool:
    """Whether the run failed before its first checkpoint."""
    if rundir.resume.exists() or rundir.checkpoints.exists():
        return False
    last, offset = None, 0
    while events := read_journal(rundir.journal, offset=offset):
        last, offset = events[-1]
    return last is not None and last.type == "error"


def _replace_spec(rundir: RunDir, content: bytes) -> None:
    """Replaces the spec of a failed run and removes its journal and log.

    The order of the operations matters: if the process is killed between them, the next call still
    accepts the folder, both for the old spec and for the new one.
    """
    with locked(rundir):
        shutil.rmtree(rundir.tokenizer, ignore_errors=True)
        rundir.inputs.unlink(missing_ok=True)
        publish_file(rundir.spec, content)
        rundir.journal.unlink(missing_ok=True)
        rundir.log.unlink(missing_ok=True)


def _judge(status: int, watch: _Watch, rundir: RunDir) -> None:
    if status == ExitCode.FINISHED:
        return
    if status == ExitCode.LOCKED:
        raise _busy(rundir)
    if watch.interrupted or status == ExitCode.STOPPED:
        raise CommandError(
            "interrupted", hint="Run the same command again to continue.", status=INTERRUPTED
        )
    if watch.error is not None:
        message = f"the run failed: {watch.error['message']} ({watch.error['code']})"
        raise CommandError(message, hint=watch.error.get("hint"), details=watch.error)
    how = f"by signal {-status}" if status < 0 else f"with status {status}"
    raise CommandError(f"the run ended {how}", hint=f"See {rundir.log}.")
